"""The incident bundle: everything that was known, and nothing that is nobody's business."""

import json
import stat
import tarfile
from dataclasses import replace

import pytest

from proglog.errors import StorageError
from proglog.observe import bundle, recording
from proglog.record.record import StoredRecord
from proglog.security.tls import TLSFiles
from proglog.tui.source import LiveSource
from proglog.types import Offset, OriginId, SequenceNumber
from proglog.wire.model import MemberStatus

SECRETS = (b"hunter2", b"BEGIN", b"a value of a record", b"MIIB")


def _opened(directory):
    (path,) = directory.glob("*.tar.gz")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as archive:
        return {each.name.partition("/")[2]: archive.extractfile(each).read() for each in archive.getmembers()}


async def _bundled(dash):
    await dash.press("b")
    for worker in [each for each in dash.app.workers if each.group == "bundle"]:  # those that read records never end
        await worker.wait()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_b_writes_everything_that_is_known_into_one_file(open_dash, world, here):
    async with open_dash((140, 40)) as dash:
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run(30)
        await dash.hear("node-b")
        await _bundled(dash)
        shown = dash.app.state.shown
    files = _opened(here)
    assert set(files) == {
        "README.txt", "screen.txt", "screen.svg", "alerts.txt", "recording.sqlite", "about.json",
        "snapshots/node-a.json", "snapshots/node-b.json",
    }  # fmt: skip
    assert b"1 Members" in files["screen.txt"]
    assert files["screen.svg"].startswith(b"<svg")
    assert b"critical: node-c failed" in files["alerts.txt"]
    assert json.loads(files["snapshots/node-a.json"])["taken_at_ms"] == shown.taken_at_ms
    about = json.loads(files["about.json"])
    assert about["packages"]["textual"] == "8.2.8"
    assert about["started"]["target"] == "127.0.0.1:8400"
    (here / "r.sqlite").write_bytes(files["recording.sqlite"])
    assert len(recording.load(here / "r.sqlite").frames) == 30


async def test_no_secret_is_in_any_file_of_it(open_dash, world, here):
    key = here / "client-key.pem"
    key.write_bytes(b"-----BEGIN PRIVATE KEY-----\nMIIB\n")
    async with open_dash((140, 40)) as dash:
        members = world.snapshot().members
        tags = {"join_token": "hunter2", "role": "edge"}
        world.overrides = {"members": (replace(members[0], tags={**members[0].tags, **tags}), *members[1:])}
        dash.app.source = LiveSource("127.0.0.1:8400", TLSFiles(cert_file=key, key_file=key, ca_file=key))
        await dash.run(5)
        await _bundled(dash)
    files = _opened(here)
    for name, data in files.items():
        assert not any(secret in data for secret in SECRETS), name
    (here / "r.sqlite").write_bytes(files["recording.sqlite"])
    (frame, *_) = recording.load(here / "r.sqlite").frames
    assert frame.snapshot.members[0].tags["join_token"] == bundle.REDACTED
    assert frame.snapshot.members[0].tags["role"] == "edge"
    assert str(key).encode() in files["about.json"]


async def test_values_on_the_screen_stay_out_of_it(open_dash, here):
    async with open_dash((100, 24)) as dash:
        dash.app.source.log = [
            StoredRecord(
                value=b"a value of a record", offset=Offset(0), origin=OriginId(bytes(16)), sequence=SequenceNumber(1)
            )
        ]
        await dash.run(2)
        await dash.press("t")
        assert "a value of a record" in dash.text
        await _bundled(dash)
    files = _opened(here)
    assert "screen.svg" not in files
    assert b"left out, it showed records" in files["README.txt"]
    assert not any(secret in data for data in files.values() for secret in SECRETS)


async def test_a_moment_of_the_past_is_bundled_as_it_was(open_dash, here):
    async with open_dash((100, 24)) as dash:
        await dash.run(20)
        await dash.press("space", *["left"] * 5)
        moment = dash.app.state.shown.taken_at_ms
        await dash.run(3)
        await _bundled(dash)
    assert json.loads(_opened(here)["snapshots/node-a.json"])["taken_at_ms"] == moment


async def test_before_the_first_word_there_is_nothing_to_bundle(open_dash, here):
    async with open_dash((100, 24)) as dash:
        await _bundled(dash)
        assert "nothing to bundle yet" in next(iter(dash.app._notifications)).message
    assert list(here.iterdir()) == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    bundle.write(tmp_path / "a.tar.gz", b"first")
    with pytest.raises(StorageError, match="cannot write"):
        bundle.write(tmp_path / "none" / "a.tar.gz", b"second")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "x").touch()
    with pytest.raises(StorageError):
        bundle.write(tmp_path / "dir", b"third")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.tar.gz", "dir"]
    assert (tmp_path / "a.tar.gz").read_bytes() == b"first"


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "..", "\x1b[31m", "x" * 500])
def test_a_member_cannot_choose_where_its_file_goes(name):
    stem = bundle.file_stem(name)
    assert stem
    assert len(stem) <= 80
    assert "/" not in stem
    assert stem.strip(".")
