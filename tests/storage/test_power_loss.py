"""The power fails: any of what was not synced is lost, kept or torn, over and over on one disk."""

from random import Random

from proglog.testing.files import FaultyFiles, SimulatedCrashError
from tests.storage.kit import LONG, ROLLING, Witness, live, open_log

SEEDS = 10_000 if LONG else 800
LIVES = 4


def test_power_cuts_at_random_over_several_lives_lose_nothing_acknowledged() -> None:
    cuts = 0
    for seed in range(SEEDS):
        files, witness, random = FaultyFiles(seed, short_writes=seed % 3 == 0), Witness(), Random(seed)
        for life in range(LIVES):
            files.crash_at = files.operation + random.randint(1, 120)
            try:
                live(files, witness, groups=12, life=life * SEEDS + seed)
            except SimulatedCrashError:
                power = random.random() < 0.8
                files.power_loss() if power else files.kill()
                cuts += power
            else:
                files.kill()
            files.crash_at = None
            log = open_log(files=files, config=ROLLING, seed=life)
            assert witness.flaws(log) == [], (seed, life)
            assert log.damaged() == [], (seed, life)
            log.close()
    assert cuts > SEEDS  # the power did fail, more than once a disk


def test_an_end_that_was_not_synced_may_vanish_but_nothing_comes_back_changed() -> None:
    """Offsets never go back over a power cut: what readers had been given keeps its place."""
    for seed in range(SEEDS):
        files, witness = FaultyFiles(seed), Witness()
        log = open_log(files=files, config=ROLLING)
        for number in range(6):
            witness.append(log, [b"%d" % number * 50])
        end, cursor = log.end_offset, log.end_position
        files.crash_at = files.operation + 2  # written, and not synced
        try:
            witness.append(log, [b"in the air" * 90])
        except SimulatedCrashError:
            files.power_loss()
        log = open_log(files=files, config=ROLLING)
        assert log.end_offset - end in (0, 1)
        assert log.seek(end) == cursor
        assert witness.flaws(log) == []
