"""What is generated and committed is current."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUBS = sorted(
    path.relative_to(ROOT) for path in (ROOT / "proglog").rglob("*_pb2*.py*") if "__pycache__" not in path.parts
)


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("proto")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    protoc = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-I",
        "proto",
        f"--python_out={out}",
        f"--mypy_out=quiet:{out}",
    ]
    grpc = [f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}"]
    api = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "proto/proglog/api/v1").glob("*.proto"))
    for command in ([*protoc, "proto/proglog/record/columns.proto"], [*protoc, *grpc, *api]):
        subprocess.run(command, cwd=ROOT, check=True, env={"PATH": path}, timeout=60)
    return out


@pytest.mark.parametrize("stub", STUBS, ids=str)
def test_a_committed_stub_is_what_its_proto_generates(stub: Path, regenerated: Path) -> None:
    assert (ROOT / stub).read_text() == (regenerated / stub).read_text(), "run `make proto`"


def test_the_stubs_are_all_there() -> None:
    assert len(STUBS) >= 18
    assert shutil.which("make")
