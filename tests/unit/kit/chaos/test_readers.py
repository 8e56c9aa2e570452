"""What is wrong with what a restarting consumer read: errors of every kind are planted, and each must be found."""

import itertools
from random import Random

import pytest

from kit.chaos.readers import Line, parse, problems


def sound(random: Random) -> tuple[list[list[Line]], set[bytes]]:
    """Runs of a reader that repeats nothing, over three origins."""
    sequences = {"aa": 0, "bb": 0, "cc": 0}
    runs: list[list[Line]] = []
    for _ in range(random.randint(2, 5)):
        run = []
        for _ in range(random.randint(5, 30)):
            origin = random.choice(sorted(sequences))
            sequences[origin] += random.randint(1, 2)
            run.append(Line(origin, sequences[origin], f"{origin} {sequences[origin]}".encode()))
        runs.append(run)
    return runs, {line.value for run in runs for line in run}


def test_sound_runs_have_no_problems() -> None:
    for seed in range(100):
        runs, acknowledged = sound(Random(seed))
        assert problems(runs, acknowledged, repeats=False) == []
        repeated = [runs[0], *([*before[-3:], *run] for before, run in itertools.pairwise(runs))]
        assert problems(repeated, acknowledged, repeats=True) == []


@pytest.mark.parametrize("kind", ["missed", "repeated", "order", "twice", "renamed"])
def test_a_planted_error_is_found(kind: str) -> None:
    for seed in range(100):
        random = Random(seed)
        runs, acknowledged = sound(random)
        run = random.choice(runs[1:])
        at = random.randrange(len(run))
        line = run[at]
        match kind:
            case "missed":
                del run[at]
            case "repeated":
                run.insert(0, random.choice(runs[0]))
            case "order":
                run.append(run[0])
            case "twice":
                run.append(line._replace(sequence=line.sequence + 1000))
            case "renamed":
                run.insert(at, line._replace(origin="dd"))
        assert problems(runs, acknowledged, repeats=False), seed


def test_part_of_a_line_at_the_end_of_a_killed_run_is_not_a_record() -> None:
    assert parse(b"aa 1 b25l\naa 2 dHdvCndvcmRz\naa 3 dGhy") == [
        Line("aa", 1, b"one"),
        Line("aa", 2, b"two\nwords"),
    ]
