"""What a node remembers of its cluster between two lives."""

from pathlib import Path

import pytest

from proglog.agent.known_members import MAX_KNOWN, KnownMembers
from proglog.gossip.events import MemberEvent, MemberEventKind
from proglog.gossip.member import Member, Status


def event(kind: MemberEventKind, name: str, port: int = 8401) -> MemberEvent:
    member = Member(
        name=name,
        addr="10.0.0.1",
        port=port,
        tags={},
        status=Status.ALIVE,
        incarnation=1,
        status_ltime=1,
        rtt_ms=None,
        since=0.0,
    )
    return MemberEvent(kind=kind, member=member)


async def after(directory: Path, *events: MemberEvent) -> tuple[str, ...]:
    """The addresses that the next life finds."""
    known = KnownMembers(directory, "a")
    for each in events:
        known.changed(each)
    await known.close()
    return KnownMembers(directory, "a").addrs


async def test_members_that_are_there_or_failed_are_found_again(tmp_path: Path) -> None:
    kinds = MemberEventKind
    assert await after(
        tmp_path,
        event(kinds.JOIN, "a", 1),
        event(kinds.JOIN, "b", 2),
        event(kinds.JOIN, "c", 3),
        event(kinds.FAILED, "c", 3),
        event(kinds.JOIN, "d", 4),
        event(kinds.LEAVE, "d", 4),
    ) == ("10.0.0.1:2", "10.0.0.1:3")


async def test_one_that_moved_is_called_on_where_it_is(tmp_path: Path) -> None:
    moved = event(MemberEventKind.JOIN, "b", 2), event(MemberEventKind.UPDATE, "b", 9)

    assert await after(tmp_path, *moved) == ("10.0.0.1:9",)


async def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    joined = [event(MemberEventKind.JOIN, f"n{number}", number + 1) for number in range(MAX_KNOWN + 10)]

    assert len(await after(tmp_path, *joined)) == MAX_KNOWN


@pytest.mark.parametrize("damage", [b"", b"garbage", b'{"members": {"b": "10.0.0.1:2"}}\ncrc32c 00000000\n'])
async def test_a_damaged_file_is_no_file(tmp_path: Path, damage: bytes) -> None:
    await after(tmp_path, event(MemberEventKind.JOIN, "b"))
    (tmp_path / "members").write_bytes(damage)

    assert KnownMembers(tmp_path, "a").addrs == ()
