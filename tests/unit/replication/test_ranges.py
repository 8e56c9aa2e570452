"""Ranges of sequences: joined, clipped, bounded."""

from itertools import pairwise
from random import Random

import pytest

from proglog.replication.ranges import coarsened, covers, flat, from_flat, joined, size, within


@pytest.mark.parametrize("seed", range(50))
def test_they_cover_what_they_were_made_of(seed: int) -> None:
    random = Random(seed)
    parts = [(start, start + random.randint(0, 9)) for start in (random.randint(1, 90) for _ in range(12))]
    made = joined(parts)
    expected = {sequence for start, end in parts for sequence in range(start, end)}

    assert {sequence for sequence in range(1, 110) if covers(made, sequence)} == expected
    assert size(made) == len(expected)
    assert all(before[1] < after[0] for before, after in pairwise(made))
    assert from_flat(flat(made)) == made
    kept = within(made, 20, 50)
    assert {sequence for sequence in range(1, 110) if covers(kept, sequence)} == expected & set(range(20, 50))
    few = coarsened(made, 3)
    assert len(few) <= 3
    assert expected <= {sequence for sequence in range(1, 110) if covers(few, sequence)}


def test_the_nearest_become_one() -> None:
    assert coarsened(((1, 2), (10, 12), (13, 20), (90, 91)), 3) == ((1, 2), (10, 20), (90, 91))


def test_whatever_comes_from_the_wire_is_kept_in_order_and_bounded() -> None:
    assert from_flat([9, 12, 1, 5, 4, 7, 30, 20, 99]) == ((1, 7), (9, 12))
    assert len(from_flat(range(10_000))) <= 64
