"""What is generated and committed is current."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUBS = sorted(
    path.relative_to(ROOT) for path in (ROOT / "proglog").rglob("*_pb2*.py*") if "__pycache__" not in path.parts
)


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("proto")
    # The Makefile's own recipe, with another place to write to.
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", "proto"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    commands = [line for line in shown.stdout.replace("\\\n", " ").splitlines() if "grpc_tools.protoc" in line]
    assert len(commands) == 2
    for command in commands:
        elsewhere = command.replace("_out=.", f"_out={out}").replace("_out=quiet:.", f"_out=quiet:{out}")
        subprocess.run(elsewhere, shell=True, cwd=ROOT, check=True, timeout=60)
    return out


@pytest.mark.parametrize("stub", STUBS, ids=str)
def test_a_committed_stub_is_what_its_proto_generates(stub: Path, regenerated: Path) -> None:
    assert (ROOT / stub).read_text() == (regenerated / stub).read_text(), "run `make proto`"


def test_the_stubs_are_all_there() -> None:
    assert len(STUBS) >= 18
    assert shutil.which("make")
