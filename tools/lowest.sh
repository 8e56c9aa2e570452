#!/bin/sh
# Every module, then the demo, with the lowest version of every dependency that pyproject.toml allows: floors are claims, too.
set -eu
python=${1:-python3}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$python" -m venv "$place/env"
"$place/env/bin/python" -m pip install --quiet uv
"$place/env/bin/uv" pip compile --quiet --resolution lowest-direct --only-binary :all: \
	--extra web pyproject.toml -o "$place/lowest.txt"
"$place/env/bin/uv" pip install --quiet --python "$place/env/bin/python" -r "$place/lowest.txt"
"$place/env/bin/uv" pip install --quiet --python "$place/env/bin/python" --no-deps .
grep -E '^[a-z0-9-]+==' "$place/lowest.txt"
cd "$place"
env/bin/python -c 'import pkgutil, proglog
for module in pkgutil.walk_packages(proglog.__path__, "proglog."):
    if not module.name.endswith(("__main__", "testing.plugin")):  # the plugin is for those who have pytest
        __import__(module.name)'
env/bin/proglog demo --no-dash
