"""How many batches an idempotent producer keeps in flight: what the agent says it remembers."""

import pytest

from proglog.client.accumulator import Accumulator
from proglog.client.courier import _window
from proglog.wire.contract import LEAST_WINDOW, MAX_WINDOW


def sent(window: int | None, *, producer: bytes = b"p" * 16, in_flight: int = 20) -> int:
    accumulator = Accumulator(
        producer, batch_bytes=1, in_flight=in_flight, linger=0, delivery_timeout=60, max_bytes=1 << 20
    )
    if window is not None:
        accumulator.remember(window)
    for _ in range(30):
        accumulator.take_values([b"value"], 13, 1, 0.0)
    while accumulator.next_to_send(0.0) is not None:
        pass
    return len(accumulator.in_flight)


def test_a_producer_has_as_many_batches_in_flight_as_the_agent_remembers() -> None:
    assert sent(16) == 16
    assert sent(3) == 3


def test_before_an_agent_says_so_the_least_that_any_release_remembers_counts() -> None:
    assert sent(None) == LEAST_WINDOW


def test_a_producer_that_asked_for_fewer_has_fewer() -> None:
    assert sent(16, in_flight=2) == 2


def test_what_is_never_sent_again_needs_no_memory() -> None:
    assert sent(3, producer=bytes(16)) == 20


@pytest.mark.parametrize("said", [None, b"16", "", "-3", "1e3", "16.0", "٣", "99999", "sixteen"])
def test_what_is_no_number_was_not_said(said: str | bytes | None) -> None:
    assert _window(said) == LEAST_WINDOW


@pytest.mark.parametrize(("said", "meant"), [("16", 16), ("0", 1), ("9999", MAX_WINDOW)])
def test_a_number_counts_within_bounds(said: str, meant: int) -> None:
    assert _window(said) == meant
