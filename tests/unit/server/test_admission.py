"""The server's own bounds: what does not fit waits for its turn, and is refused with a sentence after a while."""

import asyncio

import pytest

from proglog.errors import TooManyCallsError
from proglog.server import admission
from proglog.server.admission import Admission, Bound


async def turn_of(bound: Bound, connection: str) -> None:
    await bound.acquire(connection, 1)


async def test_what_fits_does_not_wait() -> None:
    bound = Bound("calls", 3, 2)
    for connection in ("a", "a", "b"):
        await bound.acquire(connection, 1)

    assert bound.held == 3
    assert bound.waiting == 0


async def test_a_full_connection_waits_while_another_continues() -> None:
    bound = Bound("calls", 3, 2)
    await bound.acquire("a", 1)
    await bound.acquire("a", 1)
    third = asyncio.create_task(turn_of(bound, "a"))
    await asyncio.sleep(0)

    await bound.acquire("b", 1)

    assert not third.done()
    bound.release("b", 1)  # room in all, and none on this connection
    await asyncio.sleep(0)
    assert not third.done()
    bound.release("a", 1)
    await third


async def test_turns_come_in_the_order_of_asking() -> None:
    bound = Bound("calls", 1, 1)
    await bound.acquire("a", 1)
    order: list[int] = []

    async def wait(number: int) -> None:
        await bound.acquire("a", 1)
        order.append(number)
        bound.release("a", 1)

    waiting = [asyncio.create_task(wait(number)) for number in range(5)]
    await asyncio.sleep(0)
    bound.release("a", 1)
    await asyncio.gather(*waiting)

    assert order == [0, 1, 2, 3, 4]
    assert (bound.held, bound.waiting) == (0, 0)


async def test_a_wait_ends_with_a_sentence_that_names_the_bound() -> None:
    bound = Bound("produce calls", 4, 1)
    await bound.acquire("a", 1)

    with pytest.raises(TooManyCallsError, match=r"has 1 produce calls under way on this connection: try again"):
        await bound.acquire("a", 1, max_wait=0.01)

    assert (bound.held, bound.waiting) == (1, 0)


async def test_more_than_may_wait_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_WAITING", 1)
    bound = Bound("calls", 1, 1)
    await bound.acquire("a", 1)
    waiting = asyncio.create_task(turn_of(bound, "b"))
    await asyncio.sleep(0)

    with pytest.raises(TooManyCallsError, match="on all connections together"):
        await bound.acquire("c", 1, max_wait=None)

    bound.release("a", 1)
    await waiting


async def test_one_that_gives_up_takes_nobodys_turn() -> None:
    bound = Bound("calls", 1, 1)
    await bound.acquire("a", 1)
    first, second = (asyncio.create_task(turn_of(bound, "a")) for _ in range(2))
    await asyncio.sleep(0)
    bound.release("a", 1)  # the first one's turn ...
    first.cancel()  # ... which it no longer takes
    await asyncio.wait((first,))

    await second

    assert (bound.held, bound.waiting) == (1, 0)


async def test_each_kind_of_call_has_a_bound_of_its_own() -> None:
    bounds = Admission(max_calls=1)
    async with bounds.call("a", "produce"), bounds.call("a", "consume"):
        assert (bounds.calls("produce").held, bounds.calls("consume").held) == (1, 1)
    assert (bounds.calls("produce").held, bounds.calls("consume").held) == (0, 0)
