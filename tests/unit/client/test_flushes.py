"""What each flush has to raise: every failure is raised once to each caller that it concerns."""

from proglog.client.accumulator import Batch, Failed
from proglog.client.flushes import Flushes
from proglog.errors import UnavailableError


def failed(number: int, count: int) -> Batch:
    return Batch(number, 0.0, 0.0, count=count, outcome=Failed(UnavailableError("away"), unknown=False))


def test_what_was_taken_after_a_flush_is_raised_by_the_next_though_it_shares_a_batch() -> None:
    flushes = Flushes()
    batch = failed(0, 3)
    with flushes.waiting(upto=2) as first:
        flushes.failed(batch)
    flushes.reported(first)
    with flushes.waiting(upto=3) as second:
        pass
    flushes.reported(second)
    with flushes.waiting(upto=3) as third:
        pass

    assert (first.failed, second.failed, third.failed) == ([batch], [batch], [])


def test_several_flushes_at_once_raise_the_same() -> None:
    flushes = Flushes()
    with flushes.waiting(upto=1) as first, flushes.waiting(upto=1) as second:
        flushes.failed(failed(0, 1))
    flushes.reported(first)
    flushes.reported(second)

    assert first.failed == second.failed != []
