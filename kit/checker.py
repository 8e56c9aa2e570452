"""The checker of a log: compares the answers that producers got with the records that readers got. Pure.

Producers send unique payloads and keep every answer; readers keep everything they read. Then::

    answer    may be read   must be read
    ok        once          at the acknowledged offset, unless retention or declared damage removed it
    fail      never
    unknown   once          no answer came: it may be there or not

==============  =====================================================================================================
lost            acknowledged, but not read at its offset
aborted         refused, but read
phantom         never sent
wrong bytes     an acknowledged offset holds bytes that were never sent
duplicate       one payload at two offsets, or one sequence of an origin twice
inconsistent    an offset that holds another payload than acknowledged, or two payloads in two readings;
                a sequence that is another payload elsewhere
order           payloads of one producer in another order than it sent them, offsets or sequences that go back
skip            an offset skipped without being declared damaged
==============  =====================================================================================================

Source: the anomalies of Jepsen's workload for Kafka, for a log without transactions.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """A producer's answer for one payload."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Attempt(NamedTuple):
    """One payload that was sent. A producer's attempts are in the order in which it sent them."""

    producer: str
    payload: bytes
    """Unique among all attempts."""
    outcome: Outcome
    offset: int = -1
    """Acknowledged offset; meaningless for other outcomes."""
    log: str = ""
    """The log of that offset, if there are several."""


class Seen(NamedTuple):
    """One record that was read."""

    offset: int
    origin: bytes
    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One pass over the offsets ``[start, end)`` of one log."""

    start: int
    end: int
    seen: Sequence[Seen]
    """In the order in which it was read."""
    damaged: Sequence[tuple[int, int]] = ()
    """Half-open ranges of offsets that the log said are damaged, ascending."""
    log: str = ""


class Flaw(NamedTuple):
    """A violation, and where it shows."""

    kind: str
    detail: str


def check(attempts: Sequence[Attempt], readings: Iterable[Reading]) -> list[Flaw]:
    """Return every flaw of ``readings``, taken after the last attempt was answered; empty for a correct log.

    A reading is compared with the acknowledgements of its log; between logs, sequences are compared.
    """
    sent = {attempt.payload: number for number, attempt in enumerate(attempts)}
    assert len(sent) == len(attempts), "two attempts have the same payload"
    passes = list(readings)
    flaws: list[Flaw] = []
    for reading in passes:
        flaws += _lost(attempts, reading)
        flaws += _payloads(attempts, sent, reading)
        flaws += _order(attempts, sent, reading)
        flaws += _skips(reading)
    return flaws + list(_disagreements(passes))


def _lost(attempts: Sequence[Attempt], reading: Reading) -> Iterator[Flaw]:
    held = {each.offset: each.payload for each in reading.seen}
    for attempt in attempts:
        offset = attempt.offset
        if attempt.outcome is not Outcome.OK or attempt.log != reading.log or offset < reading.start:
            continue
        if held.get(offset) != attempt.payload and not _is_damaged(reading, offset):
            yield Flaw("lost", f"offset {offset} was acknowledged with {_short(attempt.payload)}")


def _payloads(attempts: Sequence[Attempt], sent: Mapping[bytes, int], reading: Reading) -> Iterator[Flaw]:
    acknowledged = {each.offset for each in attempts if each.outcome is Outcome.OK and each.log == reading.log}
    first: dict[bytes, int] = {}
    for each in reading.seen:
        what = f"offset {each.offset} holds {_short(each.payload)}"
        if each.payload in first:
            yield Flaw("duplicate", f"{what}, and so does offset {first[each.payload]}")
        first.setdefault(each.payload, each.offset)
        number = sent.get(each.payload)
        if number is None:
            yield Flaw("wrong bytes" if each.offset in acknowledged else "phantom", what)
            continue
        attempt = attempts[number]
        if attempt.outcome is Outcome.FAIL:
            yield Flaw("aborted", f"{what}, which was refused")
        elif attempt.outcome is Outcome.OK and attempt.log == reading.log and attempt.offset != each.offset:
            yield Flaw("inconsistent", f"{what}, which was acknowledged at offset {attempt.offset}")


def _order(attempts: Sequence[Attempt], sent: Mapping[bytes, int], reading: Reading) -> Iterator[Flaw]:
    latest: dict[tuple[str, bytes], int] = {}
    for each in reading.seen:
        number = sent.get(each.payload)
        if number is None:
            continue
        stream = attempts[number].producer, each.origin
        if number < latest.get(stream, -1):
            yield Flaw("order", f"offset {each.offset} holds what {stream[0]!r} sent before an earlier offset's")
        latest[stream] = number


def _skips(reading: Reading) -> Iterator[Flaw]:
    """Require consecutive offsets up to the end; only a damaged range excuses a skip."""
    expected = reading.start
    last: dict[bytes, int] = {}
    for each in reading.seen:
        if each.offset < expected:
            yield Flaw("order", f"offset {each.offset} was read after offset {expected - 1}")
        elif not _all_damaged(reading, expected, each.offset):
            yield Flaw("skip", f"offsets {expected} to {each.offset - 1} were passed over")
        if _is_damaged(reading, each.offset):
            yield Flaw("inconsistent", f"offset {each.offset} was read and was said to be damaged")
        before = last.get(each.origin, 0)
        if each.sequence <= before:
            kind = "duplicate" if each.sequence == before else "order"
            yield Flaw(kind, f"offset {each.offset} has sequence {each.sequence}, after {before} of the same origin")
        expected, last[each.origin] = max(expected, each.offset + 1), max(before, each.sequence)
    if not _all_damaged(reading, expected, reading.end):
        yield Flaw("skip", f"the log says that it ends at {reading.end}, and reading it ended at {expected}")


def _disagreements(readings: Sequence[Reading]) -> Iterator[Flaw]:
    """Compare readings: an offset of a log is always the same record, as is a sequence of an origin in every log."""
    at_offset: dict[tuple[str, int], bytes] = {}
    at_sequence: dict[tuple[bytes, int], bytes] = {}
    for reading in readings:
        for each in reading.seen:
            if at_offset.setdefault((reading.log, each.offset), each.payload) != each.payload:
                yield Flaw("inconsistent", f"offset {each.offset} of {reading.log!r} was two records")
            if at_sequence.setdefault((each.origin, each.sequence), each.payload) != each.payload:
                yield Flaw("inconsistent", f"sequence {each.sequence} of {each.origin.hex()[:8]} was two records")


def _is_damaged(reading: Reading, offset: int) -> bool:
    number = bisect_right(reading.damaged, offset, key=lambda span: span[0]) - 1
    return number >= 0 and offset < reading.damaged[number][1]


def _all_damaged(reading: Reading, start: int, end: int) -> bool:
    """Return whether every offset of ``[start, end)`` was declared damaged."""
    for span in reading.damaged:
        if span[0] <= start < span[1]:
            start = span[1]
    return start >= end


def _short(payload: bytes) -> str:
    return repr(payload if len(payload) <= 40 else payload[:37] + b"...")
