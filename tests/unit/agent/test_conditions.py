"""What happened is a condition until something ends it; what is under way has an age."""

import pytest

from proglog.agent.condition_file import _read
from proglog.agent.conditions import MAX_CONDITIONS, Conditions
from proglog.agent.underway import Underway
from proglog.telemetry import events


def test_a_condition_lasts_from_its_first_event_to_the_one_that_ends_it() -> None:
    conditions = Conditions()
    conditions.take(events.CERTIFICATE_REJECTED, "a", "line 1", 10.0)
    conditions.take(events.CERTIFICATE_REJECTED, "a", "line 2", 20.0)
    (found,) = conditions.standing(25.0)
    assert (found.kind, found.subject, found.detail) == ("certificate-rejected", "a", "line 2")
    assert (found.since_ms, found.last_ms, found.count) == (15_000, 5_000, 2)

    conditions.take(events.CERTIFICATE_RELOADED, "b", "", 26.0)
    assert len(conditions.standing(26.0)) == 1
    conditions.take(events.CERTIFICATE_RELOADED, "a", "", 27.0)
    assert conditions.standing(27.0) == ()


def test_events_that_a_rule_or_nothing_shows_are_no_conditions() -> None:
    conditions = Conditions()
    conditions.take(events.LOG_FULL, "a", "", 1.0)
    conditions.take(events.MEMBER_JOIN, "b", "", 1.0)
    assert conditions.standing(1.0) == ()


def test_conditions_are_bounded_and_the_one_quiet_for_longest_goes() -> None:
    conditions = Conditions()
    for number in range(MAX_CONDITIONS):
        conditions.take(events.REPLICATION_FORKED, str(number), "", 1.0)
    conditions.take(events.REPLICATION_FORKED, "0", "", 2.0)
    conditions.take(events.REPLICATION_FORKED, "new", "", 3.0)
    subjects = [each.subject for each in conditions.standing(3.0)]
    assert (len(subjects), "0" in subjects, "1" in subjects) == (MAX_CONDITIONS, True, False)


def test_a_fork_that_is_accepted_stays_so_and_another_of_the_same_peer_is_a_fork_of_its_own() -> None:
    conditions = Conditions()
    conditions.take(events.REPLICATION_FORKED, "b", "", 1.0, "aa00")
    conditions.take(events.REPLICATION_FORKED, "b", "", 2.0, "bb00")
    conditions.take(events.FORK_ACCEPTED, "b", "by me", 3.0, "aa00")

    again = Conditions()
    again.restore(conditions.kept(4.0), 4.0)
    again.take(events.REPLICATION_FORKED, "b", "", 5.0, "aa00")
    found = {(each.kind, each.origin) for each in again.standing(5.0)}
    assert found == {("replication-forked", "bb00"), ("fork-accepted", "aa00")}


def test_of_operations_that_are_called_the_same_the_oldest_counts() -> None:
    underway = Underway()
    with underway.during("read"), underway.during("read"), underway.during("repair", waits_for="b", bound=5.0):
        works = [(work.what, work.waits_for, work.bound) for work in underway.operations()]
    assert (works, underway.operations()) == ([("read", "", 1.0), ("repair", "b", 5.0)], [])


def test_what_the_last_life_left_continues_and_what_matters_is_kept_for_the_next() -> None:
    conditions = Conditions()
    conditions.take(events.REPLICATION_FORKED, "b", "1 to 9", 10.0)
    conditions.take(events.CERTIFICATE_REJECTED, "a", "", 10.0)
    (kept,) = conditions.kept(40.0)
    assert (kept.kind, kept.since_ms) == ("replication-forked", 30_000)

    again = Conditions()
    again.restore([kept], 5.0)
    again.take(events.REPLICATION_FORKED, "b", "12 to 13", 6.0)
    (found,) = again.standing(6.0)
    assert (found.detail, found.since_ms, found.last_ms, found.count) == ("12 to 13", 31_000, 0, 2)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        3,
        {},
        {"kind": "certificate-rejected", "subject": "a", "detail": "", "first_ms": 1, "count": 1},
        {"kind": "no-such", "subject": "a", "detail": "", "first_ms": 1, "count": 1},
        {"kind": "replication-forked", "subject": "a", "detail": "", "first_ms": "x", "count": 1},
        {"kind": "replication-forked", "subject": "a", "detail": "", "first_ms": 1, "count": -1},
        {"kind": "replication-forked", "subject": "a", "detail": "", "first_ms": float("inf"), "count": 1},
    ],
)
def test_an_entry_that_makes_no_sense_is_left_out(entry: object) -> None:
    assert _read(entry) is None


def test_an_entry_is_read_with_its_texts_cut() -> None:
    entry = {"kind": "replication-forked", "subject": "b", "detail": "x" * 9_999, "first_ms": 1 << 62, "count": 2}
    read = _read(entry)
    assert read is not None
    assert (len(read.detail), read.since_ms, read.count) == (500, 0, 2)


def test_the_end_of_what_is_kept_is_kept_as_well() -> None:
    conditions = Conditions()
    changes: list[str] = []
    conditions.on_kept = lambda: changes.append("kept")
    conditions.take(events.DAMAGE_REPAIRED, "a", "offsets [3, 9)", 10.0)
    conditions.take(events.REPAIRS_ACCEPTED, "b", "", 11.0)  # of another node: nothing here
    assert (len(changes), len(conditions.kept(12.0))) == (1, 1)

    conditions.take(events.REPAIRS_ACCEPTED, "a", "", 12.0)
    assert (len(changes), conditions.kept(12.0)) == (2, [])
