"""The history of clients finds what it is for: records lost, differing or invented between the logs of a cluster."""

from random import Random

import pytest

from kit.checker import Reading, Seen
from kit.load import History
from kit.oddities import Oddities
from proglog.record.record import StoredRecord
from proglog.types import Offset, OriginId, SequenceNumber

ORIGIN = OriginId(bytes(16))


def history_of(acknowledged: int, unknown: int) -> tuple[History, list[Seen]]:
    """Return a history, and what a log holds in which all of it has arrived."""
    history = History()
    payloads = history.send("one", "a", acknowledged)
    history.acknowledge(payloads, base_offset=0)
    payloads += history.send("one", "a", unknown)
    return history, [Seen(offset, ORIGIN, offset + 1, payload) for offset, payload in enumerate(payloads)]


def reading(log: str, seen: list[Seen]) -> Reading:
    return Reading(start=0, end=len(seen), seen=seen, log=log)


def test_logs_that_hold_everything_once_are_well() -> None:
    history, seen = history_of(4, 2)

    assert history.problems([reading("a", seen), reading("b", seen)]) == []
    assert history.problems([reading("a", seen[:5]), reading("b", seen[:5])]) == []  # an unknown one may be missing


@pytest.mark.parametrize(
    ("found", "change"),
    [
        ("b lacks 1 acknowledged", lambda seen: seen[:3]),
        ("b lacks 1 records that others have", lambda seen: seen[:5]),
        ("duplicate", lambda seen: [*seen, Seen(6, ORIGIN, 7, seen[0].payload)]),
        ("phantom", lambda seen: [*seen, Seen(6, ORIGIN, 7, b"nobody's")]),
        ("was two records", lambda seen: [*seen[:2], seen[2]._replace(payload=b"other"), *seen[3:]]),
        ("order", lambda seen: [seen[0], seen[2]._replace(offset=1), seen[1]._replace(offset=2), *seen[3:]]),
    ],
)
def test_what_is_wrong_in_one_log_is_found(found, change) -> None:
    history, seen = history_of(4, 2)

    problems = history.problems([reading("a", seen), reading("b", change(seen))])

    assert any(found in problem for problem in problems), problems


def test_a_key_or_header_that_is_not_the_one_that_was_sent_is_found() -> None:
    oddities = Oddities(Random(7))
    for _ in range(50):
        sent = oddities.record(b"one " + oddities.padding() + b" 00000001")
        for value, fits in ((sent.value, True), (b"another", sent.key == b"")):
            stored = StoredRecord(
                value=value,
                key=sent.key,
                headers=sent.headers,
                offset=Offset(0),
                origin=ORIGIN,
                sequence=SequenceNumber(1),
            )
            assert Oddities.fits(stored) is fits
