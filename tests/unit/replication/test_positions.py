"""What has moved since somebody last looked, whatever else there is."""

from dataclasses import replace
from random import Random

import pytest

from proglog.replication.positions import Positions
from proglog.replication.progress import Progress
from proglog.types import OriginId, SequenceNumber

A, B, C = (Progress(OriginId(letter * 16), SequenceNumber(1)) for letter in (b"a", b"b", b"c"))


def at(position: Progress, sequence: int) -> Progress:
    return replace(position, next_sequence=SequenceNumber(sequence))


def test_what_moved_is_found_in_the_order_of_the_moves_and_the_value_before_stays() -> None:
    before = Positions([A, B, C])
    assert before.since(0) == [A, B, C]

    after = before.moved([at(A, 2)]).moved([at(B, 5)]).moved([at(A, 9)])

    assert after.since(before.version) == [at(B, 5), at(A, 9)]
    assert after.since(after.version) == []
    assert after == {A.origin: at(A, 9), B.origin: at(B, 5), C.origin: C}
    assert before == {A.origin: A, B.origin: B, C.origin: C}
    assert before.since(0) == [A, B, C]


def test_what_is_removed_has_not_moved() -> None:
    positions = Positions([A, B]).without([A.origin])

    assert positions.since(0) == [B]
    assert len(positions) == 1
    with pytest.raises(KeyError):
        positions[A.origin]


def test_it_is_what_a_dict_would_be_however_many_there_are_and_however_long_it_continues() -> None:
    random = Random(1)
    origins = [OriginId(number.to_bytes(16, "big")) for number in range(700)]
    value, known = Positions(), dict[OriginId, Progress]()
    seen: list[tuple[int, dict[OriginId, Progress]]] = []
    for number in range(6000):
        position = Progress(random.choice(origins[: 1 + number]), SequenceNumber(number + 1))
        value, known[position.origin] = value.moved([position]), position
        if number % 500 == 0:
            seen.append((value.version, dict(known)))
    assert value == known
    assert len(value) == len(known)
    for version, then in seen:
        moved = {position.origin: position for position in value.since(version)}
        assert moved == {origin: each for origin, each in known.items() if then.get(origin) != each}
