# Two commands do all the set-up on a machine with git, python3 and make: `make demo` and `make test`.
PYTHON ?= python3
# Each interpreter has an environment of its own: `make test PYTHON=python3.13` leaves that of python3 alone.
VENV   := .venv$(patsubst %,-%,$(filter-out python3,$(notdir $(PYTHON))))
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Tests wait more than they compute: two workers a core.
WORKERS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-rest test-all test-long chaos soak matrix lowest lock sbom check lint types imports fmt proto completions docs site screenshots bench bench-full clean tools

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP)  ## The virtual environment with everything in it

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "proglog needs Python 3.11 or newer; say make PYTHON=python3.13, for one")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $(STAMP)

demo: $(STAMP)  ## Three agents, a real file through them, then the dashboard
	$(BIN)/proglog demo

# What the tests start beside Python: a stock serf agent, a terminal, a system-call tracer.
tools:
	@sh tools/test-tools.sh

test: $(STAMP) tools  ## The quick tests: every package, real agents, a real terminal (minutes)
	$(PYTEST) -m "not full"

test-rest: $(STAMP) tools
	$(PYTEST) -m full

test-all: test test-rest  ## Every test

test-long: $(STAMP) tools  ## The long variants too (hours)
	PROGLOG_LONG=1 $(PYTEST) --timeout 7200 --session-timeout 86400

SEED    ?= 7
SECONDS ?= 60
chaos: $(STAMP) tools  ## Random faults on five real agents, and a verdict: SEED=7 SECONDS=60; needs root
	$(BIN)/python -m kit.chaos --seed $(SEED) --seconds $(SECONDS)

soak: $(STAMP) tools  ## Stock serf and proglog agents in one cluster in peace, and a verdict: SECONDS=60
	$(BIN)/python -m kit.soak --seed $(SEED) --seconds $(SECONDS) $(if $(REPORT),--report $(REPORT))

matrix:  ## The quick tests under every Python that is here
	@sh tools/matrix.sh

lowest:  ## The demo with the lowest versions that pyproject.toml allows
	@sh tools/lowest.sh $(PYTHON)

lock: $(STAMP)  ## Resolve the dependencies anew, with hashes, for every platform
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --upgrade --extra web --no-annotate \
		--custom-compile-command "make lock" --python-version 3.11 pyproject.toml -o requirements.lock

sbom: $(STAMP)  ## What a release is made of, as CycloneDX: build/sbom.cdx.json
	$(BIN)/python -m pip install --quiet uv
	@mkdir -p build
	$(BIN)/uvx --quiet --from 'cyclonedx-bom>=7,<8' cyclonedx-py requirements requirements.lock \
		--pyproject pyproject.toml --output-reproducible --of JSON -o build/sbom.cdx.json

check: lint types imports test-all  ## What CI runs

lint: $(STAMP)  ## ruff: style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

imports: $(STAMP)  ## Who may import whom
	$(BIN)/lint-imports

fmt: $(STAMP)  ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

PROTOC := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc --python_out=. --mypy_out=quiet:. \
	-I proglog/api/v1=proto/log/v1 -I proglog/api/v1=proto/proglog/v1 -I proglog/record=proto/proglog/record/v1

proto: $(STAMP)  ## Regenerate the protobuf stubs
	$(PROTOC) proto/proglog/record/v1/*.proto
	$(PROTOC) --grpc_python_out=. --mypy_grpc_out=quiet:. proto/log/v1/*.proto proto/proglog/v1/*.proto

completions: $(STAMP)  ## Regenerate the shell completions
	$(BIN)/python tools/gen_completions.py

docs: $(STAMP)  ## Regenerate the reference pages
	$(BIN)/python tools/gen_api_docs.py
	$(BIN)/python tools/gen_cli_docs.py
	$(BIN)/python tools/gen_event_docs.py
	$(BIN)/python tools/gen_man.py
	$(BIN)/python tools/gen_schemas.py
	$(BIN)/python tools/gen_vectors.py

site: $(STAMP)  ## The documentation as a web site, in build/site/html; a warning ends it
	$(BIN)/python -m pip install --quiet 'mkdocs>=1.6,<2'
	$(BIN)/python tools/build_site.py

screenshots: $(STAMP)  ## Draw the pictures of the dashboard anew
	$(BIN)/python tools/gen_screenshots.py
	$(BIN)/python tools/gen_demo.py

bench: $(STAMP)  ## The benchmarks at their small size
	$(BIN)/python -m benchmarks

bench-full: $(STAMP)  ## The benchmarks at their full size (minutes)
	$(BIN)/python -m benchmarks --full

clean:  ## Remove what was built
	rm -rf .venv .venv-* .durations.json build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
