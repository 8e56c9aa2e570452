"""What happened is a condition until something ends it; what is under way has an age."""

from proglog.agent.conditions import MAX_CONDITIONS, Conditions
from proglog.agent.underway import Underway
from proglog.telemetry import events


def test_a_condition_lasts_from_its_first_event_to_the_one_that_ends_it() -> None:
    conditions = Conditions()
    conditions.take(events.POLICY_REJECTED, "a", "line 1", 10.0)
    conditions.take(events.POLICY_REJECTED, "a", "line 2", 20.0)
    (found,) = conditions.standing(25.0)
    assert (found.kind, found.subject, found.detail) == ("policy-rejected", "a", "line 2")
    assert (found.since_ms, found.last_ms, found.count) == (15_000, 5_000, 2)

    conditions.take(events.POLICY_RELOADED, "b", "", 26.0)
    assert len(conditions.standing(26.0)) == 1
    conditions.take(events.POLICY_RELOADED, "a", "", 27.0)
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


def test_of_operations_that_are_called_the_same_the_oldest_counts() -> None:
    underway = Underway()
    with underway.during("read"), underway.during("read"), underway.during("append"):
        names = [what for what, _ in underway.operations()]
    assert (names, underway.operations()) == (["read", "append"], [])
