"""Each file of a directory, of another version or out of shape: what a start and a check of the directory say.

::

    file                       later version   unknown key   another shape   empty      garbage
    identity                   refused         as ever       made anew       made anew  made anew
    origin                     refused         as ever       new origin      new origin new origin
    durable, retired, lost     refused         as ever       made anew       made anew  made anew
    derived, members,
    conditions, an index       a hint          as ever       a hint          a hint     a hint

A check says *refused* in the same words, notes what a start would make anew, and is silent about hints. Nothing here is a
bug report, whatever the bytes.
"""

import json
import shutil
from pathlib import Path

import pytest

from proglog.agent.known_members import KnownMembers
from proglog.errors import ProglogError, UnknownFormatError
from proglog.log import checkpoint
from proglog.log.config import LogConfig
from proglog.log.files import OsFiles
from proglog.log.log import Log
from proglog.log.model import LocalAppend
from proglog.log.verify import verify_directory
from proglog.record import control, scan
from proglog.record.batch import HEADER_BYTES, parse_header, verify
from proglog.record.crc import crc
from proglog.record.place import Places
from proglog.types import LogId, NodeName, Offset, OriginId, SequenceNumber
from tests.unit.log.kit import local

CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=512, retention_bytes=12_000, ballast_bytes=0)
NAME = NodeName("a")
TIED = ("identity", "origin", "durable", "retired", "lost", "lost.copy")
HINTS = ("derived", "members", "conditions")
MADE_ANEW = {
    "identity": "",
    "origin": "the file 'origin' was damaged",
    "durable": "the file 'durable' was damaged",
    "retired": "the file 'retired' was damaged",
    "lost": "the file 'lost' was damaged",
    "lost.copy": "the file 'lost.copy' was damaged",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every file, closed in order."""
    directory = tmp_path_factory.mktemp("original") / "data"
    log = Log.open(directory, CONFIG, node_name=NAME)
    for number in range(300):
        log.append([local(b"%d " % number * 20)])
    commit = control.position_commit("x", 0, {OriginId(b"o" * 16): SequenceNumber(3)}, now_ms=1)
    log.append([LocalAppend(verify(commit))])
    assert log.retain()
    log.close()
    files = OsFiles()
    checkpoint.save_losses(files, directory, LogId(bytes.fromhex(content_of(directory / "identity")["log"])), [], 1)
    checkpoint.save(files, directory / "members", {"addresses": []})
    checkpoint.save(files, directory / "conditions", {"conditions": []})
    return directory


@pytest.fixture
def directory(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "data"))


def content_of(path: Path) -> dict[str, object]:
    content = checkpoint.load(OsFiles(), path, version=2)
    assert content is not None
    return content


def stores(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.log"))


def opened(directory: Path) -> Log:
    log = Log.open(directory, CONFIG, node_name=NAME)
    log.close()
    return log


def held(directory: Path) -> int:
    return sum(path.stat().st_size for path in stores(directory))


def other_shapes(name: str) -> list[object]:
    shapes: list[object] = [
        [],
        7,
        "text",
        None,
        {},
        {"version": "one"},
        {"version": True},
        {"needs": 3},
        {"needs": [3]},
    ]
    keys = {
        "identity": {"log": 7}, "origin": {"origin": "6f"}, "durable": {"base_offset": -1, "store_bytes": "x"},
        "retired": {"origins": []}, "lost": {"ends": [[1]]}, "lost.copy": {"losses": [3]}, "derived": {"version": 1, "producers": 3},
        "members": {"addresses": 3}, "conditions": {"conditions": [3]},
    }  # fmt: skip
    return [*shapes, keys[name]]


def write(path: Path, content: object) -> None:
    line = json.dumps(content).encode() + b"\n"
    path.write_bytes(line + b"crc32c %08x\n" % crc(line))


@pytest.mark.parametrize("name", TIED)
@pytest.mark.parametrize(
    ("later", "words"),
    [
        ({"version": 2}, "has version 2; this version of proglog knows 1"),
        ({"needs": ["time-travel"]}, "needs 'time-travel', which this version of proglog does not know"),
    ],
)
def test_a_file_of_a_later_version_is_refused_by_name_and_nothing_is_changed(
    name: str, later: dict[str, object], words: str, directory: Path
) -> None:
    write(directory / name, content_of(directory / name) | later)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}

    for look in (opened, verify_directory):
        with pytest.raises(UnknownFormatError, match=f"{name} {words}"):
            look(directory)

    before.pop("LOCK", None)
    assert {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "LOCK"} == before


@pytest.mark.parametrize("name", [*TIED, *HINTS])
def test_a_key_that_is_not_known_changes_nothing(name: str, directory: Path) -> None:
    size = held(directory)
    write(directory / name, content_of(directory / name) | {"colour": "blue"})

    report, log = verify_directory(directory), opened(directory)

    assert report.ok
    assert report.findings == []
    assert log.recovery.describe() == ""
    assert not log.recovery.new_origin_reason
    assert held(directory) == size


@pytest.mark.parametrize("name", TIED)
@pytest.mark.parametrize("damage", ["empty", "garbage", "another shape"])
def test_what_is_no_such_file_is_made_anew_and_said(name: str, damage: str, directory: Path, original: Path) -> None:
    path = directory / name
    contents = other_shapes(name) if damage == "another shape" else [b""] if damage == "empty" else [b"\xff\0\n" * 9]
    for content in contents:
        shutil.rmtree(directory)
        shutil.copytree(original, directory)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write(path, content)

        report, log = verify_directory(directory), opened(directory)

        said = log.recovery.describe() + log.recovery.new_origin_reason
        assert MADE_ANEW[name] in said, content
        assert (name in {finding.file for finding in report.findings}) or name == "identity", content
        assert log.end_offset == 300
        assert verify_directory(directory).ok


@pytest.mark.parametrize("name", HINTS)
@pytest.mark.parametrize("damage", ["later version", "another shape", "empty", "garbage"])
def test_a_hint_that_cannot_be_read_costs_nothing_but_the_hint(name: str, damage: str, directory: Path) -> None:
    path = directory / name
    contents = {
        "later version": [content_of(path) | {"version": 3}], "another shape": other_shapes(name), "empty": [b""],
        "garbage": [b"\xff\0\n" * 9],
    }[damage]  # fmt: skip
    for content in contents:
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write(path, content)

        log = opened(directory)
        remembered = KnownMembers(directory, "a").remembered

        assert (log.end_offset, log.recovery.new_origin_reason, remembered) == (300, "", ())
        assert "x" in log.named_positions()


@pytest.mark.parametrize(
    "damage", [b"", b"\xff" * 200, b"\xa7PLX\x09\0\0\0" + bytes(200)], ids=["empty", "garbage", "later"]
)
def test_an_index_that_cannot_be_read_is_made_anew(damage: bytes, directory: Path) -> None:
    indexes = sorted(directory.glob("*.index"))
    for path in indexes:
        path.write_bytes(damage)

    log = opened(directory)

    assert log.end_offset == 300
    assert log.recovery.rebuilt_indexes == len(indexes)
    assert verify_directory(directory).ok


def test_a_name_that_no_segment_can_have_is_somebody_elses_file(directory: Path) -> None:
    (directory / "99999999999999999999.log").write_bytes(b"")

    assert opened(directory).end_offset == 300
    assert verify_directory(directory).ok


LATER = {"version": (36, 3), "codec": (37, 1), "flag": (38, 8)}


def make_later(path: Path, position: int, field: str, log_id: LogId) -> None:
    """Change a stored batch into one that a later version wrote."""
    data = bytearray(path.read_bytes())
    end = position + parse_header(bytes(data), position).batch_bytes
    made = data[position:end]
    at, value = LATER[field]
    made[at] = value
    made[32:36] = crc(bytes(made[36:HEADER_BYTES]), crc(bytes(made[HEADER_BYTES:]))).to_bytes(4, "little")
    made[4:8] = crc(bytes(made[8:HEADER_BYTES])).to_bytes(4, "little")
    assert bytes(made[:4]) == Places(log_id, Offset(int(path.stem))).mark(position)
    data[position:end] = made
    path.write_bytes(data)


@pytest.mark.parametrize("field", LATER)
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_later_batch_at_an_end_of_a_cleanly_closed_log_is_seen_at_the_next_start(
    field: str, place: str, directory: Path
) -> None:
    log_id = LogId(bytes.fromhex(str(content_of(directory / "identity")["log"])))
    path = stores(directory)[0 if place == "first" else -1]
    positions = [position for position, _ in scan.headers(path.read_bytes())]
    make_later(path, positions[0 if place == "first" else -1], field, log_id)

    with pytest.raises(UnknownFormatError, match="a later version wrote"):
        opened(directory)


@pytest.mark.parametrize("later", [{"version": 3}, {"codec": 1}, {"flags": 8}, {"flags": 11}])
def test_a_directory_in_which_a_later_version_wrote_is_refused_however_it_was_closed(
    later: dict[str, int], directory: Path
) -> None:
    """Wherever those batches are: the file says so before the first of them is written."""
    content = content_of(directory / "identity")
    assert content["batches"] == {"version": 2, "codec": 0, "flags": 3}
    write(directory / "identity", content | {"batches": content["batches"] | later})  # type: ignore[operator]

    for look in (opened, verify_directory):
        with pytest.raises(UnknownFormatError, match="a later"):
            look(directory)


def test_a_directory_that_does_not_say_what_it_holds_says_so_from_the_next_start_on(directory: Path) -> None:
    content = content_of(directory / "identity")
    del content["batches"]
    write(directory / "identity", content)

    opened(directory)

    assert content_of(directory / "identity")["batches"] == {"version": 2, "codec": 0, "flags": 3}


def test_a_later_batch_in_the_middle_is_reported_to_its_reader_and_to_the_operator(directory: Path) -> None:
    log_id = LogId(bytes.fromhex(str(content_of(directory / "identity")["log"])))
    path = stores(directory)[-2]
    position = [position for position, _ in scan.headers(path.read_bytes())][5]
    make_later(path, position, "version", log_id)
    log = Log.open(directory, CONFIG, node_name=NAME)
    try:
        at = log.seek(Offset(int(path.stem)))
        read = log.read(at, 1 << 20)
        with pytest.raises(ProglogError, match="batch format version 3 is not known here"):
            log.recheck(at, len(read.data))
        assert [problem.key for problem in log.problems()] == ["later-version"]
    finally:
        log.close()
