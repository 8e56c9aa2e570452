#!/bin/sh
# Runs the quick tests under every supported Python that is on this machine, and says which are not.
# Looked for: pythonX.Y in PATH, then pyenv's versions, the newest first.
set -u
report=""
failed=0
for version in 3.11 3.12 3.13 3.14; do
    python=""
    for candidate in "python$version" $(ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/"python$version" 2>/dev/null | sort -rV); do
        found=$(command -v "$candidate") || continue
        if "$found" -c 'import ensurepip, venv' 2>/dev/null; then
            python=$found
            break
        fi
        echo "passed over $found: it does not run, or has no venv (a pyenv shim without that version, for one)" >&2
    done
    if [ -z "$python" ]; then
        report="$report
  $version  not on this machine"
    elif make test "PYTHON=$python"; then
        report="$report
  $version  passed ($python)"
    else
        failed=1
        report="$report
  $version  FAILED ($python)"
    fi
done
echo "The quick tests, by Python:$report"
exit $failed
