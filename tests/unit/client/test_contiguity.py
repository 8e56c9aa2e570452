"""What a stream leaves out of an origin is explained, or an error: against a model, and by hand."""

from random import Random

import pytest

from proglog.client.contiguity import MAX_EXPLAINED, Contiguity
from proglog.errors import SequenceGapError
from proglog.types import OriginId, SequenceNumber

A, B = OriginId(b"a" * 16), OriginId(b"b" * 16)


def take(of: Contiguity, origin: OriginId, base: int, following: int) -> None:
    of.take(origin, SequenceNumber(base), SequenceNumber(following))


def explain(of: Contiguity, origin: OriginId, start: int, end: int) -> None:
    of.explain(origin, SequenceNumber(start), SequenceNumber(end))


def test_an_origin_goes_on_where_the_cursor_says_or_begins_at_one() -> None:
    stream = Contiguity({A: SequenceNumber(5)})
    take(stream, A, 5, 9)
    take(stream, B, 1, 2)
    with pytest.raises(SequenceGapError) as left_out:
        take(stream, A, 10, 12)
    assert (left_out.value.expected, left_out.value.found) == (9, 10)
    take(stream, A, 9, 12)  # nothing was taken by the refusal
    with pytest.raises(SequenceGapError):
        take(stream, OriginId(b"c" * 16), 2, 3)


def test_a_batch_that_reaches_back_or_comes_again_is_no_gap() -> None:
    stream = Contiguity({A: SequenceNumber(5)})
    take(stream, A, 3, 8)
    take(stream, A, 1, 3)
    assert stream.next_sequence(A) == 8


def test_what_is_explained_is_passed_in_whatever_order_and_parts_it_is_told() -> None:
    stream = Contiguity({})
    explain(stream, A, 9, 12)
    explain(stream, A, 4, 6)
    explain(stream, A, 6, 9)
    take(stream, A, 1, 4)
    assert stream.next_sequence(A) == 12
    take(stream, A, 12, 13)
    with pytest.raises(SequenceGapError):
        take(stream, A, 14, 15)


def test_a_word_that_does_not_reach_back_explains_nothing() -> None:
    stream = Contiguity({})
    take(stream, A, 1, 4)
    explain(stream, A, 5, 8)
    explain(stream, B, 1, 8)
    with pytest.raises(SequenceGapError):
        take(stream, A, 8, 9)


def test_words_that_nothing_follows_take_a_bounded_room() -> None:
    stream = Contiguity({})
    for number in range(MAX_EXPLAINED + 100):
        explain(stream, A, 10 * number + 5, 10 * number + 6)
    assert len(stream._explained) == MAX_EXPLAINED


@pytest.mark.parametrize("seed", range(200))
def test_exactly_what_is_left_out_without_a_word_is_an_error(seed: int) -> None:
    """A history in parts: each is handed out, explained, or left out in silence."""
    random = Random(seed)
    stream = Contiguity({})
    at, silent = {A: 1, B: 1}, {A: False, B: False}
    for _ in range(200):
        origin = random.choice([A, B])
        start, end = at[origin], at[origin] + random.randint(1, 5)
        at[origin] = end
        match random.choices(["taken", "explained", "left out"], [6, 2, 0.1])[0]:
            case "explained":
                explain(stream, origin, start, end)
            case "left out":
                silent[origin] = True
            case _ if silent[origin]:
                with pytest.raises(SequenceGapError):
                    take(stream, origin, start, end)
                return
            case _:
                take(stream, origin, start, end)
