"""What each verb that reads a data directory says of each of its files, in each of the ways in which it may be odd.

The table is :data:`SAID`. ``verify`` and ``doctor`` read a stopped agent's directory; ``serve`` opens it. Exit code 70 is a bug
in proglog, and there is none in the table: bytes on a disk are never one.
"""

import json
import shutil
from pathlib import Path

import pytest

from proglog.cli.app import invoke
from proglog.errors import UnknownFormatError
from proglog.log import checkpoint
from proglog.log.config import LogConfig
from proglog.log.files import OsFiles
from proglog.log.log import Log
from proglog.record import scan
from proglog.record.batch import HEADER_BYTES, parse_header
from proglog.record.crc import crc
from proglog.testing.processes import AgentProcess
from proglog.types import LogId, NodeName
from tests.unit.log.kit import local

CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=512, retention_bytes=12_000, ballast_bytes=0)
RECORDS = 300
NAME = NodeName("a")

REFUSED = ("refused", 1, "a later one wrote it, use that")
"""What becomes of the directory at a start; the exit code of ``verify`` and ``doctor``; and their words."""
BATCH = ("served", 1, "a later version wrote this log: use that")
ANEW = ("served", 0, "repaired")
WELL = ("served", 0, "")
LOST = ("served", 1, "damage")

SAID: dict[str, dict[str, tuple[str, int, str]]] = {
    "identity": {"later": REFUSED, "need": REFUSED, "key": WELL, "shape": ANEW, "empty": ANEW, "garbage": ANEW},
    "origin": {"later": REFUSED, "need": REFUSED, "key": WELL, "shape": ANEW, "empty": ANEW, "garbage": ANEW},
    "durable": {"later": REFUSED, "need": REFUSED, "key": WELL, "shape": ANEW, "empty": ANEW, "garbage": ANEW},
    "retired": {"later": REFUSED, "need": REFUSED, "key": WELL, "shape": ANEW, "empty": ANEW, "garbage": ANEW},
    "lost": {"later": REFUSED, "need": REFUSED, "key": WELL, "shape": ANEW, "empty": ANEW, "garbage": ANEW},
    "lost.copy": {"later": REFUSED, "need": REFUSED, "key": WELL, "shape": ANEW, "empty": ANEW, "garbage": ANEW},
    "derived": {"later": ANEW, "need": ANEW, "key": WELL, "shape": ANEW, "empty": ANEW, "garbage": ANEW},
    "members": {"later": WELL, "need": WELL, "key": WELL, "shape": WELL, "empty": WELL, "garbage": WELL},
    "conditions": {"later": WELL, "need": WELL, "key": WELL, "shape": WELL, "empty": WELL, "garbage": WELL},
    "keyring": {"later": WELL, "need": WELL, "key": WELL, "shape": WELL, "empty": WELL, "garbage": WELL},
    "index": {"later": ANEW, "empty": ANEW, "garbage": ANEW},
    "a store": {"later": BATCH, "need": BATCH, "empty": LOST, "garbage": LOST},
}
"""By file and by what is odd about it: a later version, a feature that is not known, a key that is not known, another shape.

Of a store, ``later`` is the version byte of a batch in the middle, and ``need`` a flag that is not known; a start that meets
one at an end of a store is refused, and one in the middle is a finding (test_versions_of_files.py).
"""
ROWS = [(name, odd) for name, row in SAID.items() for odd in row]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("original") / "data"
    log = Log.open(directory, CONFIG, node_name=NAME)
    for number in range(RECORDS):
        log.append([local(b"%d " % number * 20)])
    assert log.retain()
    log.close()
    files, identity = OsFiles(), content_of(directory / "identity")
    checkpoint.save_losses(files, directory, LogId(bytes.fromhex(str(identity["log"]))), [], 1)
    for name, content in (
        ("members", {"addresses": []}),
        ("conditions", {"conditions": []}),
        ("keyring", {"keys": []}),
    ):
        checkpoint.save(files, directory / name, content)
    return directory


@pytest.fixture
def directory(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "data"))


def content_of(path: Path) -> dict[str, object]:
    return json.loads(path.read_bytes().partition(b"\n")[0])  # type: ignore[no-any-return]


def write(path: Path, content: object) -> None:
    line = json.dumps(content).encode() + b"\n"
    path.write_bytes(line + b"crc32c %08x\n" % crc(line))


def make_odd(directory: Path, name: str, odd: str) -> None:
    if name == "a store":
        _make_store_odd(sorted(directory.glob("*.log"))[1], odd)
        return
    path = sorted(directory.glob("*.index"))[1] if name == "index" else directory / name
    garbage = bytes(range(256)) * 2
    if odd in ("empty", "garbage"):
        path.write_bytes(b"" if odd == "empty" else garbage)
    elif name == "index":
        path.write_bytes(path.read_bytes()[:4] + b"\x09" + path.read_bytes()[5:])
    else:
        more = {"later": {"version": 9}, "need": {"needs": ["time-travel"]}, "key": {"colour": "blue"}, "shape": None}[
            odd
        ]
        write(path, content_of(path) | more if more is not None else {"version": [1], "keys": 7, "addresses": 7})


def _make_store_odd(path: Path, odd: str) -> None:
    data = bytearray(path.read_bytes())
    if odd in ("empty", "garbage"):
        path.write_bytes(b"" if odd == "empty" else bytes(len(data)))
        return
    position = [position for position, _ in scan.headers(bytes(data))][2]
    end = position + parse_header(bytes(data), position).batch_bytes
    made = data[position:end]
    made[36 if odd == "later" else 38] = 9 if odd == "later" else 0x10
    made[32:36] = crc(bytes(made[36:HEADER_BYTES]), crc(bytes(made[HEADER_BYTES:]))).to_bytes(4, "little")
    made[4:8] = crc(bytes(made[8:HEADER_BYTES])).to_bytes(4, "little")
    data[position:end] = made
    path.write_bytes(data)


@pytest.mark.parametrize(("name", "odd"), ROWS)
@pytest.mark.parametrize("verb", ["verify", "doctor"])
def test_a_check_of_a_directory_says_what_the_table_says(
    verb: str, name: str, odd: str, directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_odd(directory, name, odd)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    _, code, words = SAID[name][odd]

    returned = invoke([verb, str(directory)])

    said = "".join(capfd.readouterr())
    assert returned == code, said
    assert words in said
    assert code or ("repaired" in said) == (words == "repaired")
    assert not any(alien in said for alien in ("Traceback", "Error", "unpack", "None", "<"))
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


@pytest.mark.parametrize(("name", "odd"), ROWS)
def test_a_start_on_a_directory_does_what_the_table_says(name: str, odd: str, directory: Path) -> None:
    make_odd(directory, name, odd)
    becomes, _, words = SAID[name][odd]

    try:
        log = Log.open(directory, CONFIG, node_name=NAME)
    except UnknownFormatError as exc:
        assert becomes == "refused"
        assert words in str(exc)
    else:
        assert becomes == "served"
        assert log.end_offset == RECORDS
        log.close()


@pytest.mark.parametrize("odd", ["need", "shape", "garbage"])
def test_an_agent_serves_whatever_its_hints_say_and_check_warns(
    odd: str, directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = directory.parent / "keys"
    keys.write_bytes(b"AAAAAAAAAAAAAAAAAAAAAA==\n")
    keys.chmod(0o600)
    for name in ("derived", "members", "conditions", "keyring", "index"):
        if odd in SAID[name]:
            make_odd(directory, name, odd)
    agent = AgentProcess("data", directory.parent, flags={"encrypt-file": str(keys)})

    with agent:
        warned = invoke(["check", "--addr", agent.rpc_addr])
        agent.stop()

    said = capfd.readouterr().out
    assert (warned, "keyring" in said, "conditions" in said, "members" in said) == (1, True, True, True), said

    assert "Traceback" not in agent.telemetry.read_text()
    assert invoke(["verify", str(directory)]) == 0


def test_an_agent_refuses_a_file_of_a_later_version_in_a_sentence(directory: Path) -> None:
    make_odd(directory, "durable", "later")
    agent = AgentProcess("data", directory.parent)

    with pytest.raises(AssertionError, match="is not ready"):
        agent.start()

    (line,) = (line for line in agent.telemetry.read_text().splitlines() if line.startswith("error: "))
    assert line.endswith("a later one wrote it, use that")
    assert "Traceback" not in agent.telemetry.read_text()
