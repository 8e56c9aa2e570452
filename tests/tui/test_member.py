"""The page of one member: what it says itself, or that it does not; what of it is not as it should be."""

from dataclasses import replace
from datetime import UTC

from proglog.observe.spans import Locale, plain, width_of
from proglog.tui.panels.members import page as member
from proglog.tui.state import DashState, MemberReported, SnapshotArrived, reduce
from proglog.wire.model import ClusterSnapshot, DamagedRange

NOW = 1_790_000_000.0
LOCALE = Locale(timezone=UTC)


def _state(world, own: ClusterSnapshot | None = None) -> DashState:
    state = reduce(DashState(target="a", now=NOW), SnapshotArrived(world.snapshot(), NOW))
    return state if own is None else reduce(state, MemberReported("node-b", own, NOW))


def _told(state: DashState, width: int = 120) -> str:
    return "\n".join(map(plain, member.lines("node-b", state, LOCALE, width)))


def test_a_member_that_is_silent_is_known_by_hearsay(world):
    assert "it does not speak for itself now: what follows is what node-a knows of it" in _told(_state(world))


def test_any_member_tells_its_log_disk_and_what_it_has_of_each_origin(world):
    told = _told(_state(world, world.told_by("node-b")))
    assert "by its own word" in told
    assert "64% free, 64 GB of 100 GB" in told
    assert "has of      node-c" in told
    assert "pulled from node-c" in told
    assert not any(word in told for word in ("hearsay", "clock", "node-a runs", "damaged"))


def test_what_differs_is_said(world):
    own = world.told_by("node-b")
    lost = DamagedRange(start_offset=812, end_offset=820, detail="checksum")
    own = replace(
        own,
        node=replace(own.node, version="0.2.0", origin_reason="the directory was copied"),
        log=replace(own.log, damaged=(lost,) * 20, disk_free_bytes=10**9),
        taken_at_ms=own.taken_at_ms - 65_000,
    )
    told = _told(_state(world, own))
    assert "runs        proglog 0.2.0" in told
    assert "node-a runs 0.1.0" in told
    assert "clock       about 1 min 5 s behind the watched one's: check its NTP" in told
    assert told.count("offsets [812 … 820) cannot be read: checksum") == 8
    assert "and 12 more ranges" in told
    assert "new because the directory was copied" in told
    assert "node-b disk has 1% free, 1.0 GB" in told


def test_earlier_directories_of_a_member_are_named(world):
    own = world.told_by("node-b")
    first = replace(own.origins[1], origin=b"\xc0\xff\xee\x00" + bytes(12), next_sequence=102)
    assert "earlier     c0ffee00, 100 records" in _told(_state(world, replace(own, origins=(*own.origins, first))))


def test_facts_are_wrapped_into_narrow_boxes(world):
    lines = member.lines("node-b", _state(world, world.told_by("node-b")), LOCALE, 36)
    facts = lines[: [plain(each) for each in lines].index("writes, as they arrive here")]
    assert all(width_of(each) <= 36 for each in facts if " " in plain(each).strip())
