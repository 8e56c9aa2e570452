#!/bin/sh
# Installs the programs that tests start, where they are missing: Debian and Ubuntu by apt, elsewhere by hand.
set -eu
# buf lints the protos; without npm the tests that need it are skipped.
if command -v npm >/dev/null 2>&1 && [ ! -x .tools/node_modules/.bin/buf ]; then
    npm install --silent --no-audit --no-fund --no-save --prefix .tools @bufbuild/buf@1.75.0
fi
# Prometheus and the schemas of Kubernetes check what deploy/ has: unpacked here, so that no service starts; without them
# those tests are skipped.
if ! command -v prometheus >/dev/null 2>&1 && [ ! -x .tools/prometheus/usr/bin/prometheus ] \
    && command -v apt-get >/dev/null 2>&1; then
    into=$(mktemp -d)
    # shellcheck disable=SC2015  # whatever fails, the tests are skipped
    (cd "$into" && apt-get download -qq prometheus >/dev/null 2>&1) \
        && mkdir -p .tools/prometheus && dpkg-deb -x "$into"/prometheus_*.deb .tools/prometheus \
        || echo "No Prometheus: its tests are skipped (apt-get update may help)"
    rm -rf "$into"
fi
if [ ! -d .tools/kubernetes ] && [ -x .venv/bin/python ]; then
    .venv/bin/python -m pip install --quiet --no-deps --target .tools/kubernetes kubernetes-validate==1.37.0 \
        || echo "No schemas of Kubernetes: their test is skipped"
    # The oldest and the newest release will do: all of them have a hundred megabytes.
    for each in $(ls -d .tools/kubernetes/kubernetes_validate/kubernetes-json-schema/*/ | sort -V | sed '1,2d' | head -n -2); do
        rm -r "$each"
    done
fi
missing=""
command -v serf >/dev/null 2>&1 || missing="$missing serf"
command -v tmux >/dev/null 2>&1 || missing="$missing tmux"
command -v strace >/dev/null 2>&1 || missing="$missing strace"
command -v rsync >/dev/null 2>&1 || missing="$missing rsync"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
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
