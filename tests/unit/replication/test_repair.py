"""Whom a log asks for what damage took, on a clock that the test holds."""

import itertools

from proglog.replication.progress import Progress
from proglog.replication.repair import MAX_RETRY, Attempt, RepairPlan, SequenceRange
from proglog.types import OriginId, SequenceNumber

A, B = OriginId(b"a" * 16), OriginId(b"b" * 16)


def lost(origin: OriginId, start: int, end: int) -> SequenceRange:
    return SequenceRange(origin, SequenceNumber(start), SequenceNumber(end))


def keeping(floor: int, next_sequence: int, origin: OriginId = A) -> dict[OriginId, Progress]:
    return {origin: Progress(origin, SequenceNumber(next_sequence), 7, SequenceNumber(floor))}


def test_a_peer_that_keeps_the_range_is_asked_for_it() -> None:
    peers = {"b": keeping(1, 9), "c": keeping(1, 90)}

    assert RepairPlan().next_attempt([lost(A, 20, 30)], peers, 0.0) == Attempt("c", lost(A, 20, 30), lost(A, 20, 30))


def test_nobody_is_asked_for_what_nobody_keeps() -> None:
    peers = {"b": keeping(1, 20), "c": keeping(30, 90), "d": keeping(1, 90, B), "e": {}}

    assert RepairPlan().next_attempt([lost(A, 20, 30)], peers, 0.0) is None
    assert RepairPlan().next_attempt([], peers, 0.0) is None


def test_who_keeps_most_of_it_comes_first_and_gives_what_it_has() -> None:
    peers = {"b": keeping(1, 23), "c": keeping(23, 90)}

    attempt = RepairPlan().next_attempt([lost(A, 20, 30)], peers, 0.0)

    assert attempt == Attempt("c", lost(A, 20, 30), lost(A, 23, 30))


def test_after_a_failure_the_others_are_asked_and_the_first_again_later_and_later() -> None:
    plan, missing = RepairPlan(), [lost(A, 20, 30)]
    peers = {"b": keeping(1, 90), "c": keeping(1, 90)}

    asked, now = [], 0.0
    while now < 200.0:
        attempt = plan.next_attempt(missing, peers, now)
        if attempt is None:
            now += 0.5
            continue
        asked.append((attempt.peer, now))
        plan.failed(attempt, now)

    assert asked[:4] == [("b", 0.0), ("c", 0.0), ("b", 1.0), ("c", 1.0)]
    times = [when for peer, when in asked if peer == "b"]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert max(pauses) == MAX_RETRY


def test_parts_that_different_peers_keep_are_all_fetched() -> None:
    plan, missing = RepairPlan(), [lost(A, 20, 30)]
    peers = {"b": keeping(1, 25), "c": keeping(25, 90)}

    first = plan.next_attempt(missing, peers, 0.0)
    assert first is not None
    plan.failed(first, 0.0)
    second = plan.next_attempt(missing, peers, 0.0)

    assert second is not None
    assert {first.part, second.part} == {lost(A, 20, 25), lost(A, 25, 30)}


def test_other_ranges_do_not_wait_for_one_that_cannot_be_had() -> None:
    plan, peers = RepairPlan(), {"b": keeping(1, 90)}
    missing = [lost(A, 20, 30), lost(A, 40, 50)]
    first = plan.next_attempt(missing, peers, 0.0)
    assert first is not None
    plan.failed(first, 0.0)

    second = plan.next_attempt(missing, peers, 0.0)

    assert second is not None
    assert {first.missing, second.missing} == set(missing)


def test_a_range_that_is_lost_once_more_starts_afresh() -> None:
    plan, peers, missing = RepairPlan(), {"b": keeping(1, 90)}, [lost(A, 20, 30)]
    attempt = plan.next_attempt(missing, peers, 0.0)
    assert attempt is not None
    plan.failed(attempt, 0.0)
    assert plan.next_attempt(missing, peers, 0.1) is None

    assert plan.next_attempt([], peers, 0.2) is None  # it came back

    assert plan.next_attempt(missing, peers, 0.3) == attempt
