"""Random histories of a cluster: no seed may break an invariant, and each rule that is taken away must."""

import os

import pytest

from proglog.replication.planner import Patience
from proglog.testing.simulation.node import Rules, Violation
from proglog.testing.simulation.world import World

LONG = bool(os.environ.get("PROGLOG_LONG"))
SEEDS = 100_000 if LONG else 120
BLOCKS = 8


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_history_breaks_an_invariant(block: int) -> None:
    for seed in range(block, SEEDS, BLOCKS):
        options = {"nodes": 2 + seed % 3, "retention_bytes": 4096 if seed % 2 else None}
        try:
            World(seed, **options).run()
        except Exception as exc:
            raise AssertionError(f"World({seed}, **{options}): {exc}") from exc


@pytest.mark.parametrize(
    ("rules", "invariants"),
    [
        pytest.param(Rules(sequences_survive_copying=False), "I4|I7|I8", id="copies get new identities"),
        pytest.param(Rules(relay=False), "I7", id="nodes serve their own origin only"),
        pytest.param(Rules(honest_disks=False), "I3|I5|I6|I7", id="synced data does not survive"),
        pytest.param(Rules(patience=Patience(stall_timeout=1e9)), "I7", id="a hanging source is never given up"),
        pytest.param(Rules(patience=Patience(gap_timeout=0.0)), "I3|I7", id="gaps are written at once"),
    ],
)
def test_without_a_rule_some_history_breaks_an_invariant(rules: Rules, invariants: str) -> None:
    def run_many() -> None:
        for seed in range(200):
            World(seed, rules).run()

    with pytest.raises(Violation, match=invariants):
        run_many()


def test_a_seed_replays() -> None:
    def history(seed: int) -> object:
        world = World(seed)
        world.run()
        return world.time, world.identities, world.consumed

    assert history(7) == history(7)
