"""The checker is checked: errors of every kind are planted in sound histories, and each must be found."""

from dataclasses import replace
from random import Random

import pytest

from kit.checker import Attempt, Outcome, Reading, Seen, check

ORIGIN = b"o" * 16
KINDS = (
    "lost",
    "aborted",
    "phantom",
    "duplicate",
    "inconsistent",
    "order",
    "skip",
    "wrong bytes",
)


def sound(random: Random) -> tuple[list[Attempt], Reading]:
    """A history of four producers and a truthful reading of it: retention, damage, refusals and silence included."""
    attempts: list[Attempt] = []
    seen: list[Seen] = []
    origin, sequence = ORIGIN, random.randint(1, 5)
    for number in range(random.randint(40, 120)):
        outcome = random.choices([Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN], [8, 1, 1])[0]
        payload = b"%d" % number + random.randbytes(random.randint(0, 30))
        attempts.append(Attempt(f"p{random.randrange(4)}", payload, outcome, len(seen)))
        if outcome is Outcome.OK or (outcome is Outcome.UNKNOWN and random.random() < 0.5):
            seen.append(Seen(len(seen), origin, sequence, payload))
            sequence += random.choice([1, 1, 1, 2])  # control batches take sequences but no offsets
        if random.random() < 0.01:
            origin, sequence = random.randbytes(16), 1
    start, end = random.randint(0, 5), len(seen)
    first = random.randint(start, end)
    damaged = (first, min(end, first + random.randint(1, 4)))
    kept = [each for each in seen[start:] if not damaged[0] <= each.offset < damaged[1]]
    return attempts, Reading(start=start, end=end, seen=kept, damaged=[damaged])


def plant(kind: str, random: Random, attempts: list[Attempt], reading: Reading) -> tuple[list[Attempt], Reading]:
    """Return the history with one lie of ``kind`` in it."""
    seen = list(reading.seen)
    outcomes = {attempt.payload: number for number, attempt in enumerate(attempts)}
    acknowledged = [n for n, each in enumerate(seen) if attempts[outcomes[each.payload]].outcome is Outcome.OK]
    at = random.choice(acknowledged)
    match kind:
        case "lost":
            if random.random() < 0.5:  # from the end, where no gap shows it
                seen, at = seen[: acknowledged[-1]], -1
                reading = replace(reading, end=seen[-1].offset + 1 if seen else reading.start)
            else:
                del seen[at]
        case "aborted":
            number = outcomes[seen[at].payload]
            attempts[number] = attempts[number]._replace(outcome=Outcome.FAIL)
        case "phantom":
            end = reading.end
            seen.append(Seen(end, b"q" * 16, 1, b"nobody sent this"))
            reading = replace(reading, end=end + 1)
        case "duplicate":
            seen.append(seen[at]._replace(offset=reading.end, origin=b"q" * 16))
            reading = replace(reading, end=reading.end + 1)
        case "inconsistent":
            other = random.choice([n for n in acknowledged if n != at])
            ours, theirs = seen[at], seen[other]
            seen[at], seen[other] = ours._replace(payload=theirs.payload), theirs._replace(payload=ours.payload)
        case "order":
            other = random.choice([n for n in range(len(seen)) if n != at])
            seen.insert(other, seen.pop(at))
        case "skip":
            del seen[at]
        case "wrong bytes":
            payload = bytearray(seen[at].payload)
            payload[random.randrange(len(payload))] ^= 1 << random.randrange(8)
            if bytes(payload) in outcomes:
                payload += b"?"
            seen[at] = seen[at]._replace(payload=bytes(payload))
    return attempts, replace(reading, seen=seen)


def test_a_thousand_sound_histories_raise_no_alarm() -> None:
    for seed in range(1000):
        attempts, reading = sound(Random(seed))
        assert check(attempts, [reading, reading]) == [], seed


@pytest.mark.parametrize("kind", KINDS)
def test_every_planted_error_is_found_and_called_by_its_name(kind: str) -> None:
    for seed in range(1000 // len(KINDS)):
        random = Random(seed)
        attempts, reading = plant(kind, random, *sound(random))
        assert kind in {flaw.kind for flaw in check(attempts, [reading])}, seed


def test_an_answer_that_never_came_may_be_there_once_or_not_at_all() -> None:
    attempts = [Attempt("p", b"x", Outcome.UNKNOWN)]
    here, again = Seen(0, ORIGIN, 1, b"x"), Seen(1, ORIGIN, 2, b"x")
    assert check(attempts, [Reading(start=0, end=0, seen=[])]) == []
    assert check(attempts, [Reading(start=0, end=1, seen=[here])]) == []
    assert [flaw.kind for flaw in check(attempts, [Reading(start=0, end=2, seen=[here, again])])] == ["duplicate"]


def test_an_offset_that_changes_between_two_readings_is_found() -> None:
    attempts = [Attempt("p", b"x", Outcome.UNKNOWN), Attempt("p", b"y", Outcome.UNKNOWN)]
    readings = [Reading(start=0, end=1, seen=[Seen(0, ORIGIN, n, value)]) for n, value in enumerate((b"x", b"y"), 1)]
    assert [flaw.kind for flaw in check(attempts, readings)] == ["inconsistent"]


def test_a_copy_that_differs_from_its_source_is_found() -> None:
    attempts = [Attempt("p", b"x", Outcome.OK, 0, "a"), Attempt("p", b"y", Outcome.OK, 1, "a")]
    source = Reading(log="a", start=0, end=2, seen=[Seen(0, ORIGIN, 1, b"x"), Seen(1, ORIGIN, 2, b"y")])
    copy = Reading(log="b", start=7, end=8, seen=[Seen(7, ORIGIN, 1, b"x")])
    forked = replace(copy, seen=[Seen(7, ORIGIN, 1, b"y")])
    assert check(attempts, [source, copy]) == []
    assert [flaw.kind for flaw in check(attempts, [source, forked])] == ["inconsistent"]
