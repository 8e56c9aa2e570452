"""What a stream leaves out of an origin is explained, or an error: against a model, and by hand."""

from random import Random

import pytest

from proglog.client.contiguity import MAX_EXPLANATIONS, Contiguity, Explanation
from proglog.client.fetched import Gone, Passed
from proglog.errors import SequenceGapError
from proglog.record import batch, columns
from proglog.record.batch import VerifiedBatch, verify
from proglog.types import Offset, OriginId, SequenceNumber

A, B = OriginId(b"a" * 16), OriginId(b"b" * 16)


def made(origin: OriginId, base: int, end: int) -> VerifiedBatch:
    count = end - base
    payload = columns.from_values([b"x"] * count)
    data = batch.encode(payload, count=count, first_timestamp_ms=1, max_timestamp_ms=1)
    stamped = batch.stamp_local(
        verify(data),
        origin=origin,
        base_sequence=SequenceNumber(base),
        previous_chain=0,
        base_offset=Offset(0),
        append_time_ms=1,
    )
    return verify(stamped + payload)


def gone(origin: OriginId, start: int, end: int) -> Gone:
    return Gone(origin, start, end, "retention")


def seen(item: VerifiedBatch | Explanation) -> tuple[str, bytes, int, int]:
    if isinstance(item, VerifiedBatch):
        return "batch", item.header.origin, item.header.base_sequence, item.header.next_sequence
    return type(item).__name__.lower(), item.origin, item.start, item.end


def take(of: Contiguity, *items: VerifiedBatch | Explanation) -> list[tuple[str, bytes, int, int]]:
    """Give it one answer, explanations in disorder; return what comes of it."""
    batches = [each for each in items if isinstance(each, VerifiedBatch)]
    explanations = [each for each in items if not isinstance(each, VerifiedBatch)]
    return [seen(each) for each in of.in_order(batches, explanations)]


def test_an_origin_continues_where_the_cursor_says_or_begins_at_one() -> None:
    stream = Contiguity({A: SequenceNumber(5)})
    take(stream, made(A, 5, 9), made(B, 1, 2))
    with pytest.raises(SequenceGapError) as left_out:
        take(stream, made(A, 10, 12))
    assert (left_out.value.expected, left_out.value.found) == (9, 10)
    take(stream, made(A, 9, 12))  # nothing was taken by the refusal
    with pytest.raises(SequenceGapError):
        take(stream, made(OriginId(b"c" * 16), 2, 3))


def test_what_precedes_a_hole_is_handed_out() -> None:
    stream = Contiguity({})
    before: list[object] = []
    with pytest.raises(SequenceGapError):
        before.extend(stream.in_order([made(A, 1, 3), made(B, 1, 2), made(A, 4, 5)], []))
    assert len(before) == 2


def test_a_batch_that_reaches_back_or_comes_again_is_no_hole() -> None:
    stream = Contiguity({A: SequenceNumber(5)})
    take(stream, made(A, 3, 8), made(A, 1, 3))
    take(stream, made(A, 8, 9))


def test_explanations_come_where_their_sequences_would() -> None:
    stream = Contiguity({})
    answer = [
        made(A, 1, 4),
        made(B, 1, 2),
        made(A, 12, 13),
        gone(A, 9, 12),
        Passed(A, 4, 6),
        gone(A, 6, 9),
        gone(B, 2, 5),
    ]
    assert take(stream, *answer) == [
        ("batch", A, 1, 4),
        ("batch", B, 1, 2),
        ("passed", A, 4, 6),
        ("gone", A, 6, 9),
        ("gone", A, 9, 12),
        ("batch", A, 12, 13),
        ("gone", B, 2, 5),
    ]
    with pytest.raises(SequenceGapError):
        take(stream, made(A, 14, 15))


def test_an_explanation_that_comes_in_an_answer_before_waits_for_its_turn() -> None:
    stream = Contiguity({})
    assert take(stream, gone(A, 4, 6)) == []
    assert take(stream, made(A, 1, 4)) == [("batch", A, 1, 4), ("gone", A, 4, 6)]
    assert take(stream, made(A, 6, 7)) == [("batch", A, 6, 7)]


def test_an_explanation_that_does_not_reach_back_explains_nothing() -> None:
    stream = Contiguity({})
    take(stream, made(A, 1, 4), gone(A, 5, 8), gone(B, 1, 8))
    with pytest.raises(SequenceGapError):
        take(stream, made(A, 8, 9))


def test_a_stream_that_begins_later_than_asked_says_why() -> None:
    positions = {A: SequenceNumber(9)}
    assert [seen(each) for each in Contiguity({}).begin(positions, [gone(A, 1, 9)])] == [("gone", A, 1, 9)]
    for explanations in ([], [gone(A, 1, 8)], [gone(B, 1, 9)]):
        with pytest.raises(SequenceGapError):
            list(Contiguity({}).begin(positions, explanations))


def test_explanations_that_nothing_follows_take_a_bounded_room() -> None:
    stream = Contiguity({})
    for number in range(MAX_EXPLANATIONS + 100):
        take(stream, gone(A, 10 * number + 5, 10 * number + 6))
    assert len(stream._early[A]) == MAX_EXPLANATIONS


@pytest.mark.parametrize("seed", range(200))
def test_exactly_what_is_left_out_without_a_word_is_an_error(seed: int) -> None:
    """A history in parts: each is handed out, explained, or left out silently."""
    random = Random(seed)
    stream = Contiguity({})
    at, silent = {A: 1, B: 1}, {A: False, B: False}
    for _ in range(200):
        origin = random.choice([A, B])
        start, end = at[origin], at[origin] + random.randint(1, 5)
        at[origin] = end
        match random.choices(["taken", "explained", "left out"], [6, 2, 0.1])[0]:
            case "explained":
                take(stream, gone(origin, start, end) if random.random() < 0.5 else Passed(origin, start, end))
            case "left out":
                silent[origin] = True
            case _ if silent[origin]:
                with pytest.raises(SequenceGapError):
                    take(stream, made(origin, start, end))
                return
            case _:
                assert ("batch", origin, start, end) in take(stream, made(origin, start, end))
