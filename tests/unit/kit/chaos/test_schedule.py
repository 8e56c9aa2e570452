"""Schedules of faults: a seed replays, every kind comes, and only victims lose data."""

from kit.chaos.schedule import Fault, schedule

NODES, VICTIMS = "abcde", "cd"


def test_a_seed_replays_and_a_longer_schedule_begins_with_the_shorter_one() -> None:
    assert schedule(7, 40, NODES, VICTIMS)[:15] == schedule(7, 15, NODES, VICTIMS)
    assert schedule(7, 40, NODES, VICTIMS) != schedule(8, 40, NODES, VICTIMS)


def test_every_kind_of_fault_comes_in_every_seed() -> None:
    for seed in range(20):
        assert {step.fault for step in schedule(seed, 100, NODES, VICTIMS)} == set(Fault)


def test_only_victims_lose_data() -> None:
    for seed in range(20):
        destroyed = {step.node for step in schedule(seed, 100, NODES, VICTIMS) if step.destroys}
        assert destroyed == set(VICTIMS)
