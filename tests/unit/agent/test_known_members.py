"""What a node remembers of its cluster between two lives."""

import errno
from pathlib import Path
from typing import Any

import pytest

from proglog.agent import known_members
from proglog.agent.known_members import KnownMembers
from proglog.gossip.address_book import KnownAddress
from proglog.gossip.lamport import ClockTimes
from proglog.log import checkpoint
from proglog.log.files import OsFiles

B = KnownAddress(host="10.0.0.1", port=2, name="b")
C = KnownAddress(host="::1", port=3, name="c", unseen=70.0)


async def after(directory: Path, *known: KnownAddress) -> tuple[KnownAddress, ...]:
    """What the next life finds."""
    members = KnownMembers(directory, "a")
    members.follow(lambda: list(known))
    await members.close()
    return KnownMembers(directory, "a").remembered


async def test_addresses_come_back_with_the_time_in_which_nobody_was_seen_there(tmp_path: Path) -> None:
    assert await after(tmp_path, B, C) == (B, C)


async def test_a_change_is_saved_while_the_node_runs(tmp_path: Path, eventually: Any) -> None:
    known = [B]
    members = KnownMembers(tmp_path, "a")
    members.follow(lambda: known)
    members.changed()
    await eventually(lambda: KnownMembers(tmp_path, "a").remembered == (B,))
    known.append(C)
    members.changed()
    await eventually(lambda: KnownMembers(tmp_path, "a").remembered == (B, C))
    await members.close()


async def test_a_change_that_could_not_be_saved_is_saved_when_there_is_room(
    tmp_path: Path, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, full = checkpoint.save, [True]

    def saving(*args: Any) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*args)

    monkeypatch.setattr(checkpoint, "save", saving)
    monkeypatch.setattr(known_members, "RETRY_INTERVAL", 0.05)
    members = KnownMembers(tmp_path, "a")
    members.follow(lambda: [B])
    members.changed()
    full[0] = False
    await eventually(lambda: KnownMembers(tmp_path, "a").remembered == (B,))
    await members.close()


@pytest.mark.parametrize("damage", [b"", b"garbage", b'{"addresses": []}\ncrc32c 00000000\n'])
async def test_a_damaged_file_is_no_file(tmp_path: Path, damage: bytes) -> None:
    await after(tmp_path, B)
    (tmp_path / "members").write_bytes(damage)

    assert KnownMembers(tmp_path, "a").remembered == ()


@pytest.mark.parametrize(
    "entry",
    [
        {"addr": "nonsense", "name": "x", "unseen_seconds": 1},
        {"addr": "10.0.0.1:2", "name": "x"},
        {"addr": "10.0.0.1:2", "name": "x", "unseen_seconds": "x"},
        {"addr": "10.0.0.1:2", "name": "x", "unseen_seconds": -1},
        7,
    ],
)
def test_an_entry_that_makes_no_sense_is_left_out(tmp_path: Path, entry: Any) -> None:
    from proglog.log.files import OsFiles

    good = {"addr": "10.0.0.1:2", "name": "b", "unseen_seconds": 0}
    checkpoint.save(OsFiles(), tmp_path / "members", {"addresses": [entry, good]})

    assert KnownMembers(tmp_path, "a").remembered == (B,)


async def test_clocks_come_back_and_impossible_ones_do_not(tmp_path: Path) -> None:
    members = KnownMembers(tmp_path, "a")
    members.follow(lambda: [B], lambda: ClockTimes(intents=5, events=6, queries=7))
    await members.close()
    assert KnownMembers(tmp_path, "a").clocks == ClockTimes(intents=5, events=6, queries=7)
    checkpoint.save(OsFiles(), tmp_path / "members", {"addresses": [], "clocks": {"intents": "x", "events": 2**63}})
    assert KnownMembers(tmp_path, "a").clocks == ClockTimes()
