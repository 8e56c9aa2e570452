"""Random histories of a cluster: no seed may break an invariant, and each rule that is taken away must."""

import os

import pytest

from kit.simulation.membership import Gossip
from kit.simulation.rules import Rules, Violation
from kit.simulation.world import World
from proglog.gossip.events import MemberEventKind
from proglog.replication.plan import Patience

LONG = bool(os.environ.get("PROGLOG_LONG"))
SEEDS = 50_000 if LONG else 200
GOSSIP_SEEDS = 5_000 if LONG else 32
GOSSIP_STEPS = 800
BLOCKS = 8

FAILED_ONCE = {
    22: "the simulated disk met an unlink of a file that is not there with a KeyError",
    157: "a clone's tail below the original's floor: nobody can tell the original, and nobody has to",
    218: "what a clone wrote was damaged before it was shown: nobody could prove it, and nobody had to",
    227: "only a stream that hangs for ever leads to what retention took everywhere else",
    229: "a gap was the answer to a request for a damaged range, and looked like another history",
    743: "the only holder's stream hung for ever, and all others had retired the origin",
    453: "a damaged range is not put back while another one of its segment cannot be",
    1140: "the pass went to the end at two damaged ranges side by side: a quiet origin's followers waited for ever",
    4216: "a damaged end of an origin was not told, since nothing follows it",
    1298: "an origin of which the end is damaged cannot know how far it went",
    10576: "a restarted process remembered what followers had told the one before: the simulation was wrong",
    10870: "a source slow to find its own damage started the wait before a gap over and over",
}
"""Every seed that ever broke an invariant, and what it was."""

FAILED_ONCE_WITH_GOSSIP = {
    1907: "two halves that were restarted while they were cut off had never heard of each other: two clusters for ever",
    3556: "two origins far from each other in a slow source's log: each was given up before the pass came to it, for ever",
    2543: "the end was looked at while nodes waited before a gap: the simulation was wrong",
}


def options(seed: int) -> dict[str, int | None]:
    return {"nodes": 2 + seed % 3, "retention_bytes": 4096 if seed % 2 else None}


def run(seed: int, *, gossip: bool = False) -> World:
    world = World(seed, **options(seed), gossip=True, steps=GOSSIP_STEPS) if gossip else World(seed, **options(seed))
    try:
        world.run()
    except Exception as exc:
        raise AssertionError(f"World({seed}, **{options(seed)}), {gossip=}: {exc!r}") from exc
    return world


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_history_breaks_an_invariant(block: int) -> None:
    for seed in range(block, SEEDS, BLOCKS):
        run(seed)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_history_breaks_an_invariant_where_gossip_says_who_is_there(block: int) -> None:
    for seed in range(block, GOSSIP_SEEDS, BLOCKS):
        run(seed, gossip=True)


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_what_failed_once_does_not_fail_again(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("seed", FAILED_ONCE_WITH_GOSSIP)
def test_what_failed_once_with_gossip_does_not_fail_again(seed: int) -> None:
    run(seed, gossip=True)


@pytest.mark.parametrize(
    ("rules", "invariants"),
    [
        pytest.param(Rules(sequences_survive_copying=False), "I4|I7|I8", id="1 copies get new identities"),
        pytest.param(Rules(durable_only=False), "I6", id="2 what is not synced is served"),
        pytest.param(Rules(honest_disks=False), "I3|I6|I7", id="2 synced data does not survive"),
        pytest.param(Rules(new_origins=False), "I3|I5|I7|I12", id="3 a rolled back directory continues as it was"),
        pytest.param(Rules(gaps_are_reported=False), "I13|I3", id="4 holes are passed over"),
        pytest.param(Rules(derived_positions=False), "I3|I7|I9", id="5 a cursor is saved and believed"),
        pytest.param(Rules(durable_floors=False), "I1|I6|I10", id="5 what retention removed is not recorded"),
        pytest.param(Rules(relay=False), "I7", id="6 nodes serve their own origin only"),
        pytest.param(
            Rules(patience=Patience(stall_timeout=1e9)),
            "I7",
            id="6 a hanging source is never given up",
        ),
        pytest.param(Rules(chains=False), "I3", id="7 histories are not compared"),
        pytest.param(Rules(durable_reports=False), "I5|I6", id="8 what came in is reported"),
        pytest.param(Rules(push=False), "I7", id="9 sources send only when asked"),
    ],
)
def test_without_a_rule_some_history_breaks_an_invariant(rules: Rules, invariants: str) -> None:
    def run_many() -> None:
        for seed in range(200):
            World(seed, rules, **options(seed)).run()

    with pytest.raises(Violation, match=invariants):
        run_many()


def test_a_seed_replays() -> None:
    def history(seed: int) -> object:
        world = World(seed)
        world.run()
        return world.cluster.time, world.cluster.truth.identities, world.consumer.consumed

    assert history(7) == history(7)


def test_the_histories_contain_what_they_are_about() -> None:
    """A simulation in which nothing happens breaks nothing either."""
    worlds = [run(seed) for seed in range(24)]
    notices = {kind for world in worlds for node in world.cluster.nodes.values() for kind, _ in node.notices}

    assert {"own_origin_ahead", "origin_cloned", "replication_forked", "replication_gap"} <= notices
    assert sum(world.cluster.copies.acknowledged for world in worlds) > 100
    assert sum(node.gaps for world in worlds for node in world.cluster.nodes.values()) > 10
    assert sum(world.cluster.refilled for world in worlds) > 0

    memberships = [run(seed, gossip=True).cluster.membership for seed in range(6)]
    told = [each for each in memberships if isinstance(each, Gossip)]
    assert sum(each.told(MemberEventKind.FAILED) for each in told) > 6
    assert sum(each.told(MemberEventKind.JOIN) for each in told) > 18


@pytest.mark.parametrize("nodes", [2, 3, 5, 8])
def test_in_quiet_times_each_node_receives_each_record_once(nodes: int) -> None:
    world = World(1, nodes=nodes, tampering=0.0, damage=0.0)
    world.quiet_times(40)

    assert world.cluster.crossings() == 1.0


def test_in_wild_times_few_records_cross_the_network_again() -> None:
    """Streams break in mid-batch, disks lose what was copied, messages come twice."""
    worlds = [World(seed, tampering=0.0, damage=0.0) for seed in range(20)]
    for world in worlds:
        world.run()

    assert sum(world.cluster.crossings() for world in worlds) / len(worlds) < 1.5
