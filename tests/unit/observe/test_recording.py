"""A recording gives back what was seen, and refuses what it is not."""

import dataclasses
import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proglog.errors import InvalidRequestError, StorageError
from proglog.observe import recording
from proglog.observe.frame import Frame
from proglog.observe.json_values import snapshot_from_json, to_json_value
from proglog.wire.model import ClusterSnapshot

st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))  # as agents are read
snapshots = st.from_type(ClusterSnapshot)


def _frame(snapshot: ClusterSnapshot, at: float = 1.0) -> Frame:
    return Frame.of(snapshot, at=at, live=True)


@given(snapshots)
def test_every_snapshot_survives_json(snapshot: ClusterSnapshot):
    again = snapshot_from_json(json.loads(json.dumps(to_json_value(snapshot))))
    assert repr(again) == repr(snapshot)


@pytest.fixture
def snapshot() -> ClusterSnapshot:
    return snapshot_from_json(json.loads(_EXAMPLE))


def test_a_recording_gives_back_its_frames(tmp_path: Path, snapshot: ClusterSnapshot):
    later = dataclasses.replace(snapshot, taken_at_ms=2_000)
    frames = (_frame(snapshot), Frame.of(later, at=2.0, live=False))
    recording.save(tmp_path / "a.sqlite", "127.0.0.1:8400", frames)
    assert recording.load(tmp_path / "a.sqlite") == recording.Recording(target="127.0.0.1:8400", frames=frames)


def test_a_recording_is_readable_by_its_owner_alone(tmp_path: Path, snapshot: ClusterSnapshot):
    recording.save(tmp_path / "r.sqlite", "here", [_frame(snapshot)])
    assert (tmp_path / "r.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_closed_recording_is_one_file(tmp_path: Path, snapshot: ClusterSnapshot):
    recording.save(tmp_path / "a.sqlite", "x", [_frame(snapshot)])
    assert [path.name for path in tmp_path.iterdir()] == ["a.sqlite"]


def test_events_can_be_asked_for_without_unpacking(tmp_path: Path, snapshot: ClusterSnapshot):
    recording.save(tmp_path / "a.sqlite", "x", [_frame(snapshot, 1.0), _frame(snapshot, 2.0)])
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as database:
        rows = database.execute("SELECT kind, subject FROM events").fetchall()
    assert rows == [("member-join", "node-b")]


def test_frames_share_what_did_not_change(tmp_path: Path, snapshot: ClusterSnapshot):
    recording.save(tmp_path / "a.sqlite", "x", [_frame(snapshot, float(at)) for at in range(3)])
    first, _, last = recording.load(tmp_path / "a.sqlite").frames
    assert first.snapshot.node is last.snapshot.node
    assert first.snapshot.events is last.snapshot.events


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path):
    (tmp_path / "text").write_text("not a database, and long enough to be looked at by SQLite" * 20)
    with pytest.raises(StorageError, match="text"):
        recording.load(tmp_path / "text")
    with pytest.raises(StorageError, match="missing"):
        recording.load(tmp_path / "missing")


def test_a_recorder_that_is_refused_lets_go_of_the_file(tmp_path: Path):
    path = tmp_path / "text"
    path.write_text("not a database, and long enough to be looked at by SQLite" * 20)
    with pytest.raises(StorageError) as refused:  # holds on to everything that its traceback refers to
        recording.Recorder(path, "x")
    assert str(path) not in {str(each.resolve()) for each in Path("/proc/self/fd").iterdir()}
    assert "text" in str(refused.value)


def test_a_later_format_is_refused_by_name(tmp_path: Path, snapshot: ClusterSnapshot):
    recording.save(tmp_path / "a.sqlite", "x", [_frame(snapshot)])
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as database, database:
        database.execute("UPDATE meta SET value = '9' WHERE key = 'format'")
    with pytest.raises(StorageError, match="format '9'"):
        recording.load(tmp_path / "a.sqlite")


@pytest.mark.parametrize(
    "blob",
    [b"", b"junk", zlib.compress(b"{"), zlib.compress(b"[" * 200_000), zlib.compress(b"{}"), zlib.compress(b"1")[:-3]],
)
def test_a_damaged_frame_is_refused(tmp_path: Path, snapshot: ClusterSnapshot, blob: bytes):
    recording.save(tmp_path / "a.sqlite", "x", [_frame(snapshot)])
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as database, database:
        database.execute("UPDATE frames SET snapshot = ?", (blob,))
    with pytest.raises(InvalidRequestError):
        recording.load(tmp_path / "a.sqlite")


def test_a_frame_that_unpacks_to_too_much_is_refused(tmp_path: Path, snapshot: ClusterSnapshot, monkeypatch):
    monkeypatch.setattr(recording, "MAX_SNAPSHOT_BYTES", 100)
    recording.save(tmp_path / "a.sqlite", "x", [_frame(snapshot)])
    with pytest.raises(InvalidRequestError, match="over 100 bytes"):
        recording.load(tmp_path / "a.sqlite")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("log", "end_offset"), "9", "snapshot.log.end_offset is '9'; expected int"),
        (("log", "end_offset"), True, "snapshot.log.end_offset is True; expected int"),
        (("members", 0, "status"), "asleep", "snapshot.members.*status"),
        (("node", "origin"), "xyz", "snapshot.node.origin"),
        (("members", 0, "tags"), [], "expected dict"),
        (("members", 0, "rtt_ms"), float("inf"), "rtt_ms is inf; expected a finite number"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(snapshot: ClusterSnapshot, path: tuple, value: object, words: str):
    plain = to_json_value(snapshot)
    inner = plain
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(InvalidRequestError, match=words):
        snapshot_from_json(plain)


_EXAMPLE = """
{"node": {"name": "node-a", "version": "0.1.0", "origin": "00ff", "rpc_addr": "a:1", "bind_addr": "a:2",
          "data_dir": "/d", "started_at_ms": 1, "tls": false, "acl": false, "gossip_encrypted": false},
 "log": {"start_offset": 0, "end_offset": 9, "bytes": 900, "segment_count": 1, "fsync": "always", "state": "ok",
         "disk_free_bytes": 1, "disk_total_bytes": 2, "records_appended": 9, "bytes_appended": 900,
         "records_served": 3},
 "members": [{"name": "node-a", "addr": "a:2", "status": "alive", "tags": {"rpc_addr": "a:1"}, "rtt_ms": 0,
              "status_since_ms": 1, "incarnation": 1, "local": true}],
 "origins": [], "peers": [], "segments": [],
 "events": [{"at_ms": 5, "kind": "member-join", "subject": "node-b", "detail": ""}],
 "taken_at_ms": 1000}
"""
