"""The planner alone: peers' words and batches in, commands and verdicts out, on a clock that the test holds."""

import pytest

from proglog.record import batch, columns, control
from proglog.record.batch import BatchHeader, chain_start, parse_header, stamp_local, verify
from proglog.replication.lag import LEVEL, Lag
from proglog.replication.plan import Decision, Patience, Reopen, Unwant, Want
from proglog.replication.planner import MAX_FETCHES, Planner
from proglog.replication.progress import Progress, Refusal, RefusalKind
from proglog.types import Offset, OriginId, SequenceNumber

HERE, A, B, C = (OriginId(letter * 16) for letter in (b"h", b"a", b"b", b"c"))
PATIENCE = Patience(stall_timeout=2.0, aside_timeout=10.0, gap_timeout=30.0)


def reaching(origin: OriginId, next_sequence: int, chain_crc: int = 7) -> Progress:
    return Progress(origin, SequenceNumber(next_sequence), chain_crc)


def records(origin: OriginId, base_sequence: int, count: int) -> BatchHeader:
    payload = columns.from_values([b"x"] * count)
    return _header(batch.encode(payload, count=count, first_timestamp_ms=1, max_timestamp_ms=1), origin, base_sequence)


def gap(origin: OriginId, base_sequence: int, span: int) -> BatchHeader:
    return _header(control.gap(span, now_ms=1, reason="lost"), origin, base_sequence)


def _header(data: bytes, origin: OriginId, base_sequence: int) -> BatchHeader:
    stamped = stamp_local(
        verify(data),
        origin=origin,
        base_sequence=SequenceNumber(base_sequence),
        previous_chain=chain_start(origin),
        base_offset=Offset(0),
        append_time_ms=1,
    )
    return parse_header(stamped)


def planner_with(*peers: tuple[str, OriginId], held: tuple[Progress, ...] = (), **patience: float | None) -> Planner:
    chosen = PATIENCE if not patience else Patience(**patience)  # type: ignore[arg-type]
    planner = Planner(HERE, {position.origin: position for position in held}, chosen)
    for name, origin in peers:
        planner.stream_opened(name, origin, 0.0)
    planner.commands()
    planner.notices()
    return planner


def lag_behind(planner: Planner, peer: str, now: float) -> Lag:
    return planner.lags_behind(peer, now).get(A, LEVEL)


def test_a_peer_is_asked_for_its_own_origin_as_soon_as_its_stream_is_open() -> None:
    planner = planner_with(held=(reaching(A, 5, chain_crc=9),))

    planner.stream_opened("a", A, 0.0)

    assert planner.commands() == [Want("a", A, SequenceNumber(5), 9)]


def test_the_own_origin_is_never_asked_for() -> None:
    planner = planner_with(("a", A), held=(reaching(HERE, 3),))

    planner.positions_received("a", [reaching(HERE, 3)], 0.0)

    assert planner.commands() == []
    assert planner.judge("a", records(HERE, 1, 2), 0.0) is Decision.DROP


def test_after_a_new_origin_began_the_old_one_is_fetched_like_anybodys() -> None:
    planner = planner_with(("a", A), held=(reaching(HERE, 3, chain_crc=9),))
    planner.positions_received("a", [reaching(HERE, 7)], 0.0)
    assert planner.commands() == []

    planner.local_origin_changed(B, 1.0)

    assert planner.commands() == [Want("a", HERE, SequenceNumber(3), 9)]
    assert planner.judge("a", records(HERE, 3, 4), 1.0) is Decision.APPEND


def test_after_a_new_origin_began_another_history_of_the_old_one_is_a_fork() -> None:
    planner = planner_with(("a", A), held=(reaching(HERE, 7, chain_crc=9),))
    planner.positions_received("a", [reaching(HERE, 7, chain_crc=8)], 0.0)
    assert planner.notices() == []

    planner.local_origin_changed(B, 1.0)

    assert [notice.kind for notice in planner.notices()] == ["replication_forked"]
    assert planner.commands() == []


def test_of_an_origin_that_is_not_there_the_farthest_is_asked_and_of_equals_the_first_by_name() -> None:
    planner = planner_with(("b", B), ("c", C))
    planner.positions_received("b", [reaching(A, 5)], 0.0)
    assert planner.sources()[A] == "b"

    planner = Planner(HERE, {}, PATIENCE)
    planner.stream_opened("c", C, 0.0)
    planner.stream_opened("b", B, 0.0)
    planner.positions_received("c", [reaching(B, 4)], 0.0)
    assert planner.sources()[B] == "b"  # the origin's own node, though it reaches less far

    planner.stream_closed("b", 0.0)
    assert planner.sources()[B] == "c"


def test_the_origin_takes_its_place_back_when_it_returns() -> None:
    planner = planner_with(("b", B))
    planner.positions_received("b", [reaching(A, 5)], 0.0)
    planner.commands()

    planner.stream_opened("a", A, 1.0)

    assert planner.commands() == [Unwant("b", A), Want("a", A, SequenceNumber(1), 0)]


def test_a_peer_that_gets_farther_does_not_take_a_working_sources_place() -> None:
    planner = planner_with(("b", B), ("c", C))
    planner.positions_received("b", [reaching(A, 5)], 0.0)
    planner.commands()

    planner.positions_received("c", [reaching(A, 50)], 0.1)

    assert planner.sources()[A] == "b"
    assert planner.commands() == []


def test_a_source_that_has_nothing_more_is_left_for_one_that_has_however_busy_it_is_with_others() -> None:
    """``c`` is gone, and ``b``, which holds as much of its origin as this log, sends batches of its own without end."""
    planner = planner_with(("a", A), ("b", B), held=(reaching(C, 4),))
    planner.positions_received("b", [reaching(C, 5)], 0.0)
    assert planner.commands() == [Want("b", C, SequenceNumber(4), 7)]
    assert planner.judge("b", records(C, 4, 1), 0.5) is Decision.APPEND
    planner.advanced([reaching(C, 5)], 0.5)
    planner.judge("b", records(B, 1, 1), 1.0)

    planner.positions_received("a", [reaching(C, 9, chain_crc=8)], 1.0)

    assert planner.commands() == [Unwant("b", C), Want("a", C, SequenceNumber(5), 7)]


def test_batches_are_taken_in_sequence_and_copies_of_them_dropped_and_counted() -> None:
    planner = planner_with(("a", A))

    assert planner.judge("a", records(A, 1, 2), 0.0) is Decision.APPEND
    assert planner.judge("a", records(A, 3, 1), 0.0) is Decision.APPEND
    assert planner.judge("a", records(A, 1, 2), 0.0) is Decision.DROP
    assert planner.dropped == {"a": 2}


def test_a_batch_from_whom_nobody_asked_is_dropped() -> None:
    planner = planner_with(("a", A), ("b", B))

    assert planner.judge("b", records(A, 1, 2), 0.0) is Decision.DROP
    assert planner.judge("stranger", records(A, 1, 2), 0.0) is Decision.DROP


def test_a_hole_sends_the_planner_to_the_next_source() -> None:
    planner = planner_with(("a", A), ("b", B))
    planner.positions_received("b", [reaching(A, 9)], 0.0)
    planner.commands()

    assert planner.judge("a", records(A, 3, 1), 0.0) is Decision.HOLE

    assert planner.commands() == [Unwant("a", A), Want("b", A, SequenceNumber(1), 0)]


def test_a_batch_across_what_is_held_is_a_fork_and_the_origin_is_left_as_it_is() -> None:
    planner = planner_with(("a", A), held=(reaching(A, 3),))

    assert planner.judge("a", records(A, 2, 2), 0.0) is Decision.FORK

    assert planner.commands() == [Unwant("a", A)]
    assert [notice.kind for notice in planner.notices()] == ["replication_forked"]
    planner.positions_received("a", [reaching(A, 20)], 1.0)
    assert planner.commands() == []


def test_the_same_place_with_another_chain_is_a_fork() -> None:
    planner = planner_with(("a", A), held=(reaching(A, 3, chain_crc=1),))

    planner.positions_received("a", [reaching(A, 3, chain_crc=2)], 0.0)

    assert [notice.kind for notice in planner.notices()] == ["replication_forked"]
    assert A not in planner.sources()


def test_a_source_that_sends_nothing_while_another_is_ahead_is_set_aside_after_the_stall_timeout() -> None:
    planner = planner_with(("a", A), ("b", B))
    planner.positions_received("b", [reaching(A, 9)], 5.0)
    planner.commands()

    assert planner.next_deadline() == 7.0  # two seconds from when somebody was known to be ahead
    planner.handle_timer(6.9)
    assert planner.sources()[A] == "a"
    planner.handle_timer(7.0)

    assert planner.commands() == [Unwant("a", A), Want("b", A, SequenceNumber(1), 0)]


def test_a_source_whose_pass_has_not_come_to_an_origin_yet_is_not_set_aside_for_it() -> None:
    """Else two origins that are far from each other in its log would start its pass over again and again."""
    planner = planner_with(("a", A), ("c", C))
    for peer in ("a", "c"):
        planner.positions_received(peer, [reaching(A, 100), reaching(B, 100)], 0.0)
    assert planner.sources() == {A: "a", B: "a", C: "c"}

    planner.judge("a", records(A, 1, 5), 1.5)
    planner.handle_timer(2.5)
    assert planner.sources()[B] == "a"
    planner.refused_by("a", Refusal(A, RefusalKind.DAMAGED, SequenceNumber(9)), 3.0)
    planner.handle_timer(4.5)
    assert planner.sources()[B] == "a"

    planner.handle_timer(5.1)
    assert planner.sources()[B] == "c"


def test_a_source_is_not_set_aside_while_this_log_is_the_slow_one() -> None:
    planner = planner_with(("a", A), ("b", B))
    planner.positions_received("b", [reaching(A, 9)], 0.0)
    planner.judge("a", records(A, 1, 8), 0.0)

    planner.handle_timer(2.0)

    assert planner.sources()[A] == "a"
    assert planner.next_deadline() is None


def test_a_source_without_another_behind_it_is_not_set_aside() -> None:
    planner = planner_with(("a", A))
    planner.positions_received("a", [reaching(A, 9)], 0.0)

    assert planner.next_deadline() == PATIENCE.reopen_timeout


def test_a_stream_on_which_records_are_owed_and_nothing_comes_is_reopened_each_time_later() -> None:
    planner = planner_with(("b", B))
    reopened, opened_at = [], 0.0
    for _ in range(4):
        planner.positions_received("b", [reaching(A, 5)], opened_at)
        planner.commands()
        while not (commands := planner.commands()):
            now = planner.next_deadline()
            assert now is not None
            planner.handle_timer(now)
        assert [each.peer for each in commands] == ["b"]
        assert isinstance(commands[0], Reopen)
        reopened.append(now - opened_at)
        planner.stream_closed("b", now)
        opened_at = now + 1.0
        planner.stream_opened("b", B, opened_at)
    assert reopened == [30.0, 60.0, 120.0, 240.0]

    planner.positions_received("b", [reaching(A, 5)], opened_at)
    planner.judge("b", records(A, 1, 2), opened_at)  # the next silence is a new one
    planner.advanced([reaching(A, 3)], opened_at)
    planner.handle_timer(opened_at)
    assert planner.next_deadline() == opened_at + 30.0


def test_a_source_that_hangs_is_reopened_though_others_were_tried_meanwhile() -> None:
    planner = planner_with(("b", B), ("c", C))
    planner.positions_received("b", [reaching(A, 5)], 0.0)
    planner.positions_received("c", [Progress(A, SequenceNumber(9), 7, SequenceNumber(9))], 0.0)
    commands, now = planner.commands(), 0.0
    while not any(isinstance(each, Reopen) for each in commands) and now < 60.0:
        for command in commands:
            if isinstance(command, Want) and (command.peer, command.next_sequence) == ("c", 1):
                planner.refused_by("c", Refusal(A, RefusalKind.BELOW_FLOOR, SequenceNumber(9)), now)
        now = planner.next_deadline() or 60.0
        planner.handle_timer(now)
        commands = planner.commands()
    assert [each.peer for each in commands if isinstance(each, Reopen)] == ["b"]
    assert now == 38.0  # half a minute, when it is asked next


def test_who_was_set_aside_is_asked_again_later_even_if_its_stream_was_opened_anew() -> None:
    planner = planner_with(("a", A), gap_timeout=None, aside_timeout=10.0)
    planner.set_aside("a", A, 0.0, "it stalled")
    planner.stream_closed("a", 1.0)
    planner.stream_opened("a", A, 2.0)
    planner.commands()

    assert planner.next_deadline() == 10.0
    planner.handle_timer(10.0)

    assert planner.commands() == [Want("a", A, SequenceNumber(1), 0)]


def test_a_gap_is_decided_only_after_everybody_refused_for_the_whole_timeout() -> None:
    planner = planner_with(("a", A), ("b", B))
    planner.positions_received("a", [reaching(A, 90)], 0.0)
    planner.positions_received("b", [reaching(A, 90)], 0.0)

    planner.refused_by("a", Refusal(A, RefusalKind.BELOW_FLOOR, SequenceNumber(50)), 0.0)
    assert planner.sources()[A] == "b"
    planner.refused_by("b", Refusal(A, RefusalKind.DAMAGED, SequenceNumber(20)), 0.0)
    assert A not in planner.sources()
    for now in (10.0, 20.0, 29.9):
        assert planner.sources() == {B: "b"}
        planner.handle_timer(now)
        for peer, resume in (("a", 50), ("b", 20)):  # each is asked once more, and says the same
            if planner.sources().get(A) == peer:
                planner.refused_by(peer, Refusal(A, RefusalKind.BELOW_FLOOR, SequenceNumber(resume)), now)

    planner.handle_timer(30.0)
    assert planner.commands()[-1] == Want("b", A, SequenceNumber(20), 0)  # where least is lost
    assert planner.judge("b", records(A, 20, 5), 30.1) is Decision.APPEND_AFTER_GAP
    assert planner.judge("b", records(A, 25, 5), 30.1) is Decision.APPEND
    assert planner.notices()[-1].kind == "replication_gap"


def test_no_gap_is_decided_while_somebody_who_reaches_farther_has_not_refused() -> None:
    planner = planner_with(("a", A), ("b", B))
    planner.positions_received("b", [reaching(A, 90)], 0.0)
    planner.positions_received("a", [reaching(A, 90)], 0.0)
    planner.refused_by("a", Refusal(A, RefusalKind.BELOW_FLOOR, SequenceNumber(50)), 0.0)
    planner.set_aside("b", A, 0.0, "it stalled")

    planner.handle_timer(2.0)

    assert A not in planner.sources()
    assert planner.next_deadline() == 10.0


def test_another_nodes_gap_is_no_answer_while_somebody_else_may_have_the_records() -> None:
    planner = planner_with(("b", B), ("c", C))
    planner.positions_received("b", [reaching(A, 90)], 0.0)
    planner.positions_received("c", [reaching(A, 80)], 0.0)

    assert planner.judge("b", gap(A, 1, 49), 0.0) is Decision.HOLE

    assert planner.sources()[A] == "c"
    assert planner.judge("c", records(A, 1, 2), 0.0) is Decision.APPEND


def test_every_deadline_is_used_up_by_its_timer() -> None:
    """A deadline that stays in the past would make the replicator spin."""
    planner = planner_with(("a", A), ("b", B))
    planner.positions_received("a", [reaching(A, 90)], 0.0)
    planner.positions_received("b", [reaching(A, 90), reaching(C, 9)], 0.0)
    planner.refused_by("a", Refusal(A, RefusalKind.BELOW_FLOOR, SequenceNumber(50)), 0.0)
    planner.refused_by("b", Refusal(A, RefusalKind.BELOW_FLOOR, SequenceNumber(50)), 0.0)
    now = 0.0
    for _ in range(20):
        deadline = planner.next_deadline()
        if deadline is None:
            break
        assert deadline > now or now == 0.0
        now = deadline
        planner.handle_timer(now)
    assert now >= 30.0


def test_what_the_log_did_not_take_is_asked_for_again_from_what_it_holds() -> None:
    planner = planner_with(("a", A))
    planner.judge("a", records(A, 1, 2), 0.0)

    planner.append_failed(A, 1.0)

    assert planner.commands() == [Unwant("a", A), Want("a", A, SequenceNumber(1), 0)]


def test_a_peer_that_sent_garbage_is_set_aside_for_all_it_was_asked_for() -> None:
    planner = planner_with(("a", A), ("b", B))
    planner.positions_received("b", [reaching(A, 2)], 0.0)

    planner.malformed("a", 0.0, "the batch's checksum does not agree")

    assert planner.sources() == {A: "b", B: "b"}


def test_lag_is_measured_against_each_peer_that_has_the_origin() -> None:
    planner = planner_with(("a", A), ("b", B), held=(Progress(A, SequenceNumber(5), 7, bytes=100),))

    planner.positions_received("a", [Progress(A, SequenceNumber(9), 8, bytes=300)], 10.0)
    planner.positions_received("b", [Progress(A, SequenceNumber(7), 9, bytes=200)], 10.0)

    assert (lag_behind(planner, "a", 12.0).records, lag_behind(planner, "b", 12.0).records) == (4, 2)
    planner.advanced([Progress(A, SequenceNumber(9), 8, bytes=300)], 12.0)
    assert lag_behind(planner, "a", 12.0) == lag_behind(planner, "b", 12.0) == lag_behind(planner, "x", 12.0) == LEVEL


def test_a_gap_ends_where_somebody_has_something_not_where_nobody_may_ever_have() -> None:
    planner = planner_with(("a", A), ("b", B), gap_timeout=1.0, aside_timeout=10.0)
    planner.positions_received("a", [reaching(A, 5)], 0.0)
    planner.refused_by("a", Refusal(A, RefusalKind.BELOW_FLOOR, SequenceNumber(5)), 0.0)
    planner.handle_timer(1.0)
    assert planner.commands()[-1] == Want(
        "a", A, SequenceNumber(5), 0
    )  # it keeps nothing: its next will be after the gap

    planner.positions_received("b", [reaching(A, 90)], 2.0)
    planner.refused_by("b", Refusal(A, RefusalKind.BELOW_FLOOR, SequenceNumber(50)), 2.0)
    planner.handle_timer(3.0)

    assert planner.commands()[-1] == Want("b", A, SequenceNumber(50), 0)


def test_a_source_of_last_resort_that_hangs_does_not_hold_up_the_gap_for_ever() -> None:
    planner = planner_with(("a", A), ("b", B))
    planner.positions_received("a", [reaching(A, 90)], 0.0)
    planner.positions_received("b", [reaching(A, 90)], 0.0)
    planner.refused_by("b", Refusal(A, RefusalKind.BELOW_FLOOR, SequenceNumber(50)), 0.0)
    now = 0.0
    while now < 60.0 and planner.sources().get(A) != "b":
        now = planner.next_deadline() or 60.0
        planner.handle_timer(now)
        if planner.sources().get(A) == "b" and planner.commands()[-1].next_sequence != 50:
            planner.refused_by("b", Refusal(A, RefusalKind.BELOW_FLOOR, SequenceNumber(50)), now)

    assert planner.judge("b", records(A, 50, 5), now) is Decision.APPEND_AFTER_GAP
    assert now >= PATIENCE.stall_timeout + 30.0


def test_a_source_that_is_slow_to_refuse_does_not_start_the_gap_timeout_over_again_and_again() -> None:
    """It takes longer than the stall timeout to find its own damage, and the only other source hangs for ever."""
    planner = planner_with(("a", A), ("b", B))
    planner.positions_received("a", [reaching(A, 90)], 0.0)
    planner.positions_received("b", [reaching(A, 90)], 0.0)
    now, answers_at, verdict = 0.0, 2.2, None
    while now < 120.0 and verdict is not Decision.APPEND_AFTER_GAP:
        now = round(now + 0.1, 1)
        planner.handle_timer(now)
        for command in planner.commands():
            if isinstance(command, Want) and command.peer == "a" and command.next_sequence == 20:
                verdict = planner.judge("a", records(A, 20, 5), now)
            elif isinstance(command, Want) and command.peer == "a":
                answers_at = now + 2.2
        if now >= answers_at:
            planner.refused_by("a", Refusal(A, RefusalKind.DAMAGED, SequenceNumber(20)), now)
            answers_at = 1e9

    assert verdict is Decision.APPEND_AFTER_GAP
    assert PATIENCE.gap_timeout is not None
    assert PATIENCE.gap_timeout <= now <= 60.0


def test_the_age_of_a_lag_outlives_a_stream_that_breaks_again_and_again() -> None:
    planner = planner_with(("a", A), held=(reaching(A, 5),))
    for at in (1.0, 6.0, 11.0):
        planner.positions_received("a", [reaching(A, 9)], at)
        planner.stream_closed("a", at + 1)
        planner.stream_opened("a", A, at + 5)
    planner.positions_received("a", [reaching(A, 9)], 67.0)
    assert (lag_behind(planner, "a", 67.0).records, lag_behind(planner, "a", 67.0).seconds) == (4, 66.0)

    planner.stream_closed("a", 68.0)
    planner.peer_left("a")
    assert lag_behind(planner, "a", 68.0) == LEVEL


def test_many_origins_are_asked_for_in_portions_and_what_is_level_makes_room() -> None:
    planner = planner_with(("b", B))
    origins = [OriginId(number.to_bytes(16, "big")) for number in range(3 * MAX_FETCHES)]
    planner.positions_received("b", [reaching(origin, 2) for origin in origins], 0.0)
    wanted = [command.origin for command in planner.commands()]
    assert wanted == origins[: MAX_FETCHES - 1]  # one place is its own origin's

    while wanted:
        for origin in wanted:
            assert planner.judge("b", records(origin, 1, 1), 1.0) is Decision.APPEND
        planner.advanced([reaching(origin, 2) for origin in wanted], 1.0)
        assert len(planner.sources()) <= MAX_FETCHES
        wanted = [command.origin for command in planner.commands() if isinstance(command, Want)]

    assert all(planner.held[origin].next_sequence == 2 for origin in origins)


def test_what_is_level_stays_asked_for_while_there_is_room() -> None:
    planner = planner_with(("b", B))
    planner.positions_received("b", [reaching(A, 5)], 0.0)
    planner.judge("b", records(A, 1, 4), 0.0)
    planner.advanced([reaching(A, 5)], 0.0)

    assert planner.sources()[A] == "b"
    assert planner.judge("b", records(A, 5, 1), 1.0) is Decision.APPEND


def test_what_nobody_keeps_anything_of_is_not_asked_for() -> None:
    planner = planner_with(("b", B))

    planner.positions_received("b", [Progress(A, SequenceNumber(90), 7, floor_sequence=SequenceNumber(90))], 0.0)

    assert planner.commands() == []
    assert planner.next_deadline() is None


def waiting_planner(others: dict[str, str], *peers: tuple[str, OriginId]) -> Planner:
    planner = Planner(HERE, {}, PATIENCE, lambda: others)
    for name, origin in peers:
        planner.stream_opened(name, origin, 0.0)
    return planner


def refused_until(planner: Planner, peer: str, resume: int, end: float, start: float = 0.0) -> None:
    """Let time pass, in which ``peer`` refuses whenever it is asked."""
    now = start
    while now <= end:
        planner.handle_timer(now)
        if planner.sources().get(A) == peer and not planner._fetches[A].after_gap:
            planner.refused_by(peer, Refusal(A, RefusalKind.DAMAGED, SequenceNumber(resume)), now)
        now += 1.0


def kinds(planner: Planner) -> list[str]:
    return [notice.kind for notice in planner.notices() if notice.kind != "replication_source_set_aside"]


def test_what_a_member_that_is_away_may_hold_is_waited_for_longer_than_any_timeout_and_it_is_named() -> None:
    others = {"a": "alive", "b": "failed 12 min ago"}
    planner = waiting_planner(others, ("a", A))
    planner.positions_received("a", [reaching(A, 90)], 0.0)

    refused_until(planner, "a", 50, 3600.0)

    (notice,) = [each for each in planner.notices() if each.kind == "replication_waits"]
    assert (notice.peer, notice.origin) == ("b", A)
    assert notice.detail == "49 records, sequences [1, 50), that only b (failed 12 min ago) may hold"
    assert not any(isinstance(each, Want) and each.next_sequence > 1 for each in planner.commands())

    planner.stream_opened("b", B, 3601.0)
    planner.positions_received("b", [reaching(A, 70)], 3601.0)
    assert planner.sources()[A] == "b"
    assert planner.judge("b", records(A, 1, 5), 3601.0) is Decision.APPEND
    assert kinds(planner) == ["replication_wait_over"]


def test_after_a_member_that_was_waited_for_is_removed_the_gap_is_decided() -> None:
    others = {"a": "alive", "b": "failed 12 min ago"}
    planner = waiting_planner(others, ("a", A))
    planner.positions_received("a", [reaching(A, 90)], 0.0)
    refused_until(planner, "a", 50, 100.0)

    del others["b"]
    refused_until(planner, "a", 50, 140.0, 101.0)

    wants = [each for each in planner.commands() if isinstance(each, Want)]
    assert wants[-1] == Want("a", A, SequenceNumber(50), 0)
    assert planner.judge("a", records(A, 50, 5), 141.0) is Decision.APPEND_AFTER_GAP
    assert kinds(planner) == ["replication_waits", "replication_wait_over", "replication_gap"]


def test_a_member_that_is_away_and_had_nothing_there_is_not_waited_for() -> None:
    planner = waiting_planner({"a": "alive", "b": "failed 1 min ago"}, ("a", A), ("b", B))
    planner.positions_received("a", [reaching(A, 90)], 0.0)
    planner.positions_received("b", [Progress(A, SequenceNumber(90), 7, floor_sequence=SequenceNumber(60))], 0.0)
    planner.stream_closed("b", 0.0)

    refused_until(planner, "a", 50, 40.0)

    assert planner.judge("a", records(A, 50, 5), 41.0) is Decision.APPEND_AFTER_GAP


@pytest.mark.parametrize("others", [{"a": "alive"}, {"a": "alive", "b": "left 3 min ago"}])
def test_what_retention_removed_where_it_can_be_asked_holds_up_no_joiner(others: dict[str, str]) -> None:
    planner = waiting_planner(others, ("a", A))
    planner.positions_received("a", [Progress(A, SequenceNumber(90), 7, floor_sequence=SequenceNumber(50))], 0.0)
    planner.refused_by("a", Refusal(A, RefusalKind.BELOW_FLOOR, SequenceNumber(50)), 0.0)

    planner.handle_timer(1.9)
    assert A not in planner.sources()
    planner.handle_timer(2.0)

    assert planner.judge("a", records(A, 50, 5), 2.1) is Decision.APPEND_AFTER_GAP
    assert planner.over(records(A, 50, 5)).removed
    notice = planner.notices()[-1]
    assert notice.kind == "replication_trimmed"
    assert notice.detail.endswith("not asked: b (left 3 min ago)") is ("b" in others)


def test_a_gap_that_retention_left_at_a_peer_counts_as_removed_and_damage_there_does_not() -> None:
    for hidden, removed in (({"gaps": ((1, 50),)}, True), ({"damaged": ((1, 50),)}, False)):
        planner = waiting_planner({"a": "alive"}, ("a", A))
        planner.positions_received("a", [Progress(A, SequenceNumber(90), 7, **hidden)], 0.0)
        assert planner.over(records(A, 50, 5)).removed is removed


def test_what_a_source_owes_is_due_from_when_it_is_known_until_it_comes() -> None:
    planner = planner_with(("a", A), ("b", B))
    assert planner.due() == {}
    planner.positions_received("a", [reaching(A, 4)], 3.0)
    planner.positions_received("b", [reaching(B, 1)], 3.0)
    assert planner.due() == {"a": 3.0}

    assert planner.judge("a", records(A, 1, 2), 5.0) is Decision.APPEND
    assert planner.due() == {}, "what came is on its way to this log's own disk"
    planner.advanced([reaching(A, 3)], 6.0)
    assert planner.due() == {"a": 5.0}, "and the rest is due since the last that came"

    planner.stream_closed("a", 7.0)
    assert planner.due() == {}
