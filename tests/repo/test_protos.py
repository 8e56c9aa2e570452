"""The protos are laid out so that every language generates from them without flags, and a release breaks none of them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
PROTOS = sorted(PROTO.rglob("*.proto"))
BUF = shutil.which("buf") or str(ROOT / ".tools/node_modules/.bin/buf")
needs_buf = pytest.mark.skipif(not Path(BUF).exists(), reason="buf is not installed: `make tools` does where npm is")


BYTES = '{"version": "v2", "modules": [{"path": "proto"}], "breaking": {"use": ["WIRE"]}}'
"""Only what is on the wire: names of messages, fields and files are not."""


def buf(*args: str) -> None:
    result = subprocess.run([BUF, *args], cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def option(text: str, name: str) -> str:
    found = re.search(rf"^(?:option )?{name} ?=? ?\"?([^\";]+(?:;\w+)?)\"?;$", text, re.MULTILINE)
    assert found, name
    return found[1]


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: str(path.relative_to(PROTO)))
def test_a_proto_is_where_its_package_says_and_names_its_package_in_go_and_java(path: Path) -> None:
    text = path.read_text()
    package = option(text, "package")
    folder = str(path.parent.relative_to(PROTO))

    assert folder == package.replace(".", "/")
    assert option(text, "go_package") == f"{folder};{''.join(package.split('.')[-2:])}"
    assert option(text, "java_package") == package
    assert "option java_multiple_files = true;" in text


def test_no_two_fields_of_a_message_get_the_same_name_in_java() -> None:
    for path in PROTOS:
        for name, body in re.findall(r"^message (\w+) \{(.*?)^\}", path.read_text(), re.MULTILINE | re.DOTALL):
            names = set(re.findall(r"^ +[^/\s].*?(\w+) = \d+", body, re.MULTILINE))
            clashes = {each for each in names if f"{each}_bytes" in names or f"{each}_list" in names}
            assert not clashes, f"{name} in {path.name}: Java has get{clashes}Bytes twice"


@needs_buf
def test_buf_has_nothing_to_say_about_the_protos() -> None:
    buf("lint")


@needs_buf
def test_no_change_breaks_clients_of_the_released_protos() -> None:
    """A release replaces what is compared with: ``buf build -o tests/data/protos.binpb --exclude-source-info``."""
    buf("breaking", "--against", "tests/data/protos.binpb")


@needs_buf
def test_the_bytes_of_the_first_release_mean_what_they_meant() -> None:
    """Agents of both run side by side during an upgrade. Its message ``Place`` has the name ``OffsetSpec`` in that file."""
    buf("breaking", "--config", BYTES, "--against", "tests/data/first-release.binpb")


def test_no_number_means_anything_else_than_a_number() -> None:
    """``optional`` says that a field is absent; 0 and -1 are numbers."""
    sentinel = re.compile(r"\b(?:0|-1|2\^\d+ - 1)(?: and \d+)?: (?!it|caught up|well)[a-z]", re.IGNORECASE)

    found = [
        f"{path.name}:{number}: {line.strip()}"
        for path in PROTOS
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "//" in line and sentinel.search(line.partition("//")[2])
    ]

    assert found == []
