"""Every event that warns has the finding that shows it, or a reason to have none."""

from dataclasses import replace

import pytest

from proglog.observe.event_findings import EVENT_FINDINGS, Exempt, Lasting, Severity, Shown
from proglog.observe.health import INCOMPLETE, RULES, findings, ready, worst
from proglog.telemetry.emit import EventKind, Weight
from proglog.telemetry.events import EVENTS
from proglog.wire.model import (
    ClusterSnapshot,
    Condition,
    FollowerStatus,
    MembershipProblem,
    MemberStatus,
    Operation,
    PeerState,
)
from tests.unit.observe.test_health import _log, _member, _peer, _snapshot


def needs_finding(kind: EventKind) -> bool:
    return kind.level in ("warning", "error") or kind.weight is Weight.BAD


LASTING = [name for name, shown in EVENT_FINDINGS.items() if isinstance(shown, Lasting)]


def _condition(name: str, last_ms: int = 0, count: int = 1) -> ClusterSnapshot:
    event = EVENTS[name]
    condition = Condition(
        kind=event.status_name, subject="b", detail="why", since_ms=90_000, last_ms=last_ms, count=count
    )
    return _snapshot(conditions=(condition,))


@pytest.mark.parametrize("name", [name for name, kind in EVENTS.items() if needs_finding(kind)])
def test_every_event_that_warns_has_a_finding_or_a_reason(name: str) -> None:
    shown = EVENT_FINDINGS.get(name)
    assert shown is not None, f"{name}: name the finding that shows it"
    if isinstance(shown, Shown):
        assert shown.rule in RULES
    elif isinstance(shown, Exempt):
        assert shown.reason.endswith(".")


def test_of_an_event_that_does_not_warn_the_finding_is_information() -> None:
    others = [shown for name, shown in EVENT_FINDINGS.items() if not needs_finding(EVENTS[name])]
    assert {shown.severity for shown in others if isinstance(shown, Lasting)} == {Severity.INFO}
    assert all(isinstance(shown, Lasting) for shown in others)


@pytest.mark.parametrize("name", LASTING)
def test_an_event_that_lasts_is_a_finding_with_all_that_it_says(name: str) -> None:
    shown = EVENT_FINDINGS[name]
    assert isinstance(shown, Lasting)
    (found,) = findings(_condition(name, count=3))
    assert (found.key, found.severity, found.subject) == (f"{EVENTS[name].status_name}/b", shown.severity, "b")
    assert found.cause == f"{shown.cause} (3 times): why"
    assert (found.since_ms, found.advice, found.at_risk) == (90_000, shown.advice, shown.at_risk)


@pytest.mark.parametrize("name", [name for name in LASTING if EVENT_FINDINGS[name].minutes is not None])  # type: ignore[union-attr]
def test_one_that_was_quiet_for_long_is_none_any_more(name: str) -> None:
    minutes = EVENT_FINDINGS[name].minutes  # type: ignore[union-attr]
    assert findings(_condition(name, last_ms=int(minutes * 60_000) - 1)) != ()
    assert findings(_condition(name, last_ms=int(minutes * 60_000) + 1)) == ()


def test_the_rules_of_incomplete_copies_exist() -> None:
    names = [*RULES, *(kind.status_name for kind in EVENTS.values())]
    assert [rule for rule in INCOMPLETE if rule not in names] == []


@pytest.mark.parametrize(
    ("seconds", "severity", "serves"),
    [(0.9, Severity.OK, True), (2, Severity.WARNING, True), (11, Severity.CRITICAL, False)],
)
def test_an_operation_that_does_not_end_is_reported_and_then_makes_unready(
    seconds: float, severity: Severity, serves: bool
) -> None:
    operations = (Operation(what="append", since_ms=int(seconds * 1000)),)
    found = findings(_snapshot(log=_log(operations=operations)))
    assert (worst(found), ready(found)) == (severity, serves)
    assert ["waits for its disk: append, for" in each.cause for each in found] == [True] * (seconds > 1)


@pytest.mark.parametrize(("seconds", "severity"), [(4.9, Severity.OK), (6, Severity.WARNING), (11, Severity.CRITICAL)])
def test_what_waits_for_another_member_has_its_own_bound_and_leaves_the_node_ready(
    seconds: float, severity: Severity
) -> None:
    """Otherwise one member that hangs would make every other one unready."""
    pull = Operation(what="pull", since_ms=int(seconds * 1000), waits_for="b", bound_ms=5_000)
    found = findings(_snapshot(log=_log(operations=(pull,))))
    assert (worst(found), ready(found)) == (severity, True)
    for each in found:
        assert each.key == "stuck/a/pull/b"
        assert each.cause.startswith("waits for b: pull, for ")
        assert (each.since_ms, each.effect) == (seconds * 1000, "What a asked b for does not arrive.")


def test_the_step_that_an_operation_is_in_is_named() -> None:
    append = Operation(what="append", since_ms=2_000, step="sync")
    (found,) = findings(_snapshot(log=_log(operations=(append,))))
    assert found.cause == "waits for its disk: append (in its sync), for 2.0 s"


@pytest.mark.parametrize(
    ("seconds", "lacks", "severity"),
    [(14, 9, Severity.OK), (16, 9, Severity.WARNING), (61, 0, Severity.WARNING), (61, 9, Severity.CRITICAL)],
)
def test_a_live_peer_that_does_not_copy_is_reported(seconds: int, lacks: int, severity: Severity) -> None:
    follower = FollowerStatus(name="b", connected=False, since_ms=seconds * 1000, lag_records=lacks, lag_ms=0)
    found = findings(_snapshot(followers=(follower,)))
    assert worst(found) is severity
    if lacks and found:
        assert found[0].at_risk == "9 records of a's own that it lacks."
    assert findings(_snapshot(followers=(replace(follower, connected=True),))) == ()


def test_a_follower_that_stopped_to_advance_is_reported_by_its_age() -> None:
    follower = FollowerStatus(name="b", connected=True, since_ms=90_000, lag_records=3, lag_ms=12_000)
    (found,) = findings(_snapshot(peers=(_peer(peer_lag_records=3),), followers=(follower,)))
    assert (found.rule, found.subject, found.severity) == ("peer-lag", "b", Severity.WARNING)


def test_a_stream_that_breaks_again_and_again_is_reported_while_it_is_open() -> None:
    failing = replace(_peer(), failing=True, failing_ms=66_000, failure="version 2 is not known")
    (found,) = findings(_snapshot(peers=(failing,)))
    assert (found.rule, found.severity, found.since_ms) == ("stream-down", Severity.WARNING, 66_000)
    assert found.cause == "cannot be copied from: version 2 is not known, for 1 min 6 s"
    (found,) = findings(_snapshot(peers=(replace(failing, failing_ms=301_000),)))
    assert found.severity is Severity.CRITICAL


def test_what_replaces_missing_records_is_not_in_step() -> None:
    from proglog.observe.health import copy_words

    snapshot = _condition("replication_forked")
    assert copy_words(snapshot, findings(snapshot)) == "not a whole copy"
    assert copy_words(_snapshot(), ()) == "in step"


def test_in_step_is_said_only_by_who_hears_the_others() -> None:
    from proglog.observe.health import copy_words

    whole = _snapshot()
    away = _snapshot(members=(_member("b", MemberStatus.FAILED), _member("c", MemberStatus.LEFT)))
    down = _snapshot(peers=(_peer(PeerState.BACKING_OFF, "no space left"),))
    lonely = MembershipProblem(key="alone", detail="is isolated: no answer", critical=True)
    alone = replace(whole, node=replace(whole.node, membership_problems=(lonely,)))
    for snapshot in (away, down, alone):
        assert copy_words(snapshot, findings(snapshot)) == "not known to be in step"
