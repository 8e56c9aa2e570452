"""The only whole copy is away for longer than any timeout, the others are damaged, wiped and killed meanwhile."""

import pytest

from kit.simulation.rules import Rules, Violation
from kit.simulation.world import World

ROUNDS = 900
"""Three minutes: six times the time after which a gap is written where nobody else may hold the records."""


@pytest.mark.parametrize("seed", range(6))
def test_nobody_lacks_at_the_end_what_a_member_that_was_away_held(seed: int) -> None:
    world = World(seed, nodes=3 + seed % 2, tampering=0.0)
    world.long_absence(ROUNDS)

    notices = {kind for node in world.cluster.nodes.values() for kind, _ in node.notices}
    assert {"replication_waits", "replication_wait_over"} <= notices
    assert "replication_gap" not in notices


def test_a_gap_that_was_decided_while_they_were_away_heals_when_they_come_back() -> None:
    kinds = set()
    for seed in range(6):
        world = World(seed, Rules(absent_are_waited_for=False), tampering=0.0)
        world.long_absence(ROUNDS)
        kinds |= {kind for node in world.cluster.nodes.values() for kind, _ in node.notices}
        assert not any(node.log.gaps() for node in world.cluster.nodes.values() if node.log is not None)
    assert "replication_gap" in kinds


@pytest.mark.parametrize("seed", range(6))
def test_a_joiner_begins_at_once_with_what_is_kept_and_gets_the_rest_from_the_archive(seed: int) -> None:
    world = World(seed, nodes=3 + seed % 2, tampering=0.0)
    world.archive_away(ROUNDS)

    kinds = {kind for node in world.cluster.nodes.values() for kind, _ in node.notices}
    assert "replication_trimmed" in kinds
    assert "replication_gap" not in kinds


def test_without_waiting_and_without_healing_somebody_lacks_what_they_held() -> None:
    with pytest.raises(Violation, match="I7"):
        for seed in range(6):
            World(seed, Rules(absent_are_waited_for=False, gaps_heal=False), tampering=0.0).long_absence(ROUNDS)


def test_without_healing_a_joiner_lacks_for_good_what_the_archive_holds() -> None:
    with pytest.raises(Violation, match="I7"):
        World(0, Rules(gaps_heal=False), tampering=0.0).archive_away(ROUNDS)
