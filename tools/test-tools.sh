#!/bin/sh
# Installs the programs that tests start, where they are missing: Debian and Ubuntu by apt, elsewhere by hand.
set -eu
# buf lints the protos; without npm the tests that need it are skipped.
if command -v npm >/dev/null 2>&1 && [ ! -x .tools/node_modules/.bin/buf ]; then
    npm install --silent --no-audit --no-fund --no-save --prefix .tools @bufbuild/buf@1.75.0
fi
missing=""
command -v serf >/dev/null 2>&1 || missing="$missing serf"
command -v tmux >/dev/null 2>&1 || missing="$missing tmux"
command -v strace >/dev/null 2>&1 || missing="$missing strace"
command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
[ -z "$missing" ] && exit 0
sudo=""
[ "$(id -u)" -eq 0 ] || sudo="sudo"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "The tests start these programs, please install them:$missing" >&2
    exit 1
fi
echo "Installing for the tests:$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086  # a list of words
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
