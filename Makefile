PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: proto
proto:
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --mypy_out=quiet:. \
		proto/proglog/record/columns.proto
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --mypy_out=quiet:. \
		--grpc_python_out=. --mypy_grpc_out=quiet:. proto/proglog/api/v1/*.proto
