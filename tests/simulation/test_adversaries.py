"""What operators and machines do to a cluster, at random, in virtual time: in the end nobody is stuck and nobody lost."""

import os
from random import Random

import pytest

from proglog.gossip.address_book import KnownAddress
from proglog.gossip.config import GossipConfig
from proglog.gossip.events import MemberEvent
from proglog.gossip.wire import Type, encode
from proglog.testing.network import PORT, VirtualNetwork

LONG = "PROGLOG_LONG" in os.environ
SEEDS = range(200 if LONG else 3)


def cluster(seed: int, size: int, **options: object) -> VirtualNetwork:
    network = VirtualNetwork(seed=seed, **options)  # type: ignore[arg-type]
    for number in range(size):
        network.add(f"n{number}")
    network.join_all()
    return network


def restart(network: VirtualNetwork, name: str, *, through: str, away: float) -> None:
    """Stop a node in order, and start it again ``away`` seconds later."""
    network.leave(name)
    network.run(2.5)
    network.crash(name)
    network.run(away)
    network.add(name)
    network.join(name, through)


@pytest.mark.parametrize("seed", range(1000 if LONG else 9))
def test_after_a_rolling_restart_everybody_is_alive_and_a_crash_is_a_failure(seed: int) -> None:
    """A long run does a thousand, of 3 to 20 nodes each, one of three with packets lost."""
    size = 3 + seed % 18
    network = cluster(seed, size, loss=0.05 if seed % 3 == 2 else 0.0)
    chance = Random(seed)
    for number in range(size):
        through = f"n{(number + chance.randrange(1, size)) % size}"
        restart(network, f"n{number}", through=through, away=chance.uniform(0, 10))
        network.run(chance.uniform(2, 45))
    network.run_until(network.all_see_all, timeout=300)
    network.run(120)
    assert network.all_see_all()
    network.crash("n0")
    network.run_until(lambda: network.all_see("n0", "failed"), timeout=90)
    network.run(120)
    assert network.all_see("n0", "failed")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", [1.0, 12.0, 60.0, 300.0, 600.0])
def test_a_stall_shortens_nobodys_time_and_lengthens_no_suspicion(seed: int, stall: float) -> None:
    """Of five nodes one stands still while another one crashes; it is to find that out as if it had just begun."""
    network = cluster(seed, 5)
    network.run(10 + seed)
    network.pause("n2")
    network.run(stall / 2)
    network.crash("n4")
    network.run(stall / 2)
    resumed = network.now
    network.resume("n2")
    network.run_until(lambda: network.status("n2", "n4") in ("failed", ""), timeout=45)
    network.run_until(lambda: all(network.status("n2", name) == "alive" for name in ("n0", "n1", "n3")), timeout=45)
    network.run(60)
    blamed = [
        event.member.name
        for at, event in network.nodes["n2"].events
        if at >= resumed and isinstance(event, MemberEvent) and event.kind == "member-failed"
    ]
    assert blamed == ["n4"]


@pytest.mark.parametrize(
    "kind", ["datagram", "stream answered", "stream failed", "stream", "timer", "join", "leave", "tags"]
)
def test_whichever_input_comes_first_after_a_stall_measures_it(kind: str) -> None:
    network = cluster(5, 3)
    network.run(10.3)
    node = network.nodes["n0"]
    serf = node.serf
    serf._swim.beliefs.accuse("n1", serf._swim.nodes.get("n1").incarnation, "n2")
    before = serf._swim.timers.now
    now = network.now + 300
    match kind:
        case "datagram":
            serf.receive_datagram(encode(Type.PING, {"SeqNo": 1, "Node": "n0"}), ("10.0.0.2", 7946), now)
        case "stream answered" | "stream":
            from proglog.gossip.framing import StreamReader

            message = StreamReader(None).feed(encode(Type.PING, {"SeqNo": 1, "Node": "n0"}))
            assert message is not None
            serf.stream_answered(1, message, now) if kind == "stream answered" else serf.answer_stream(message, now)
        case "stream failed":
            serf.stream_failed(1, "gone", now)
        case "timer":
            serf.handle_timer(now)
        case "join":
            serf.join(("10.0.0.2", 7946), now)
        case "leave":
            serf.leave(now)
        case "tags":
            serf.set_tags({"a": "b"}, now)
    assert serf._swim.timers.now - before <= 1.0
    suspect = serf._swim.beliefs._suspects["n1"]
    assert suspect.timer.deadline - serf._swim.timers.now >= 3.0


@pytest.mark.parametrize("seed", SEEDS)
def test_partitions_in_which_both_sides_remove_the_other_end_in_one_cluster(seed: int) -> None:
    network = cluster(seed, 6)
    chance = Random(seed)
    left, right = ["n0", "n1", "n2"], ["n3", "n4", "n5"]
    network.cut(left, right)
    network.run_until(lambda: all(network.status("n0", name) == "failed" for name in right), timeout=90)
    network.run_until(lambda: all(network.status("n5", name) == "failed" for name in left), timeout=90)
    for observer, name in (("n0", "n4"), ("n5", "n1")):
        network.force_leave(observer, name, prune=bool(chance.randrange(2)))
    network.run(chance.uniform(1, 60))
    network.heal()
    network.run_until(network.all_see_all, timeout=300)
    network.run(90)
    assert network.all_see_all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("away", [0.5, 5.0, 15.0, 60.0])
def test_a_killed_node_comes_back_at_another_address(seed: int, away: float) -> None:
    network = cluster(seed, 4)
    network.run(20)
    network.crash("n2")
    network.run(away)
    network.add("n2", move=True)
    network.join("n2", "n0")

    def moved_everywhere() -> bool:
        seen = [m for node in network.nodes.values() if not node.crashed for m in node.serf.members() if m.name == "n2"]
        return network.all_see_all() and {member.addr for member in seen} == {network.nodes["n2"].address[0]}

    # At once where it is known to have failed; else as soon as the old address is found dead.
    network.run_until(moved_everywhere, timeout=1.5 if away >= 15 else 30)
    network.run(60)
    assert moved_everywhere()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("orderly", [True, False])
def test_a_seed_that_comes_back_with_an_empty_disk_is_called(seed: int, orderly: bool) -> None:
    """As the first pod of a set on a disk that ends with it: it was given no seeds, the others were given it."""
    network = VirtualNetwork(seed=seed)
    network.add("n1")
    for name in ("n2", "n3"):
        network.add(name, known=network.seed("n1"))
    network.run_until(network.all_see_all, timeout=30)
    network.run(30)
    if orderly:
        network.leave("n1")
        network.run(3)
    network.crash("n1")
    network.run(network.random.uniform(0, 600))
    network.add("n1")
    network.run_until(network.all_see_all, timeout=20)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_seed_may_be_replaced_at_any_time(seed: int) -> None:
    network = VirtualNetwork(seed=seed)
    chance = network.random
    names = [f"n{number}" for number in range(5)]
    for name in names:
        network.add(name)
    seeds = network.seed(*names[:3])
    for name in names:
        network.crash(name)
        network.add(name, known=seeds)
    network.run_until(network.all_see_all, timeout=30)
    for _ in range(20):
        name = chance.choice(names)
        if chance.random() < 0.5:
            network.leave(name)
            network.run(2.5)
        network.crash(name)
        network.run(chance.choice((0.5, 5.0, 40.0, 700.0)))
        network.add(name, known=seeds)
        network.run(chance.uniform(0, 20))
    network.run_until(network.all_see_all, timeout=90)


def test_halves_that_were_restarted_while_cut_off_find_each_other_through_what_they_remember() -> None:
    network = cluster(4, 4)
    network.run(60)
    remembered = {name: node.serf.known_addresses() for name, node in network.nodes.items()}
    assert {len(each) for each in remembered.values()} == {3}
    for name in network.nodes:
        network.crash(name)
    network.cut(["n0", "n1"], ["n2", "n3"])
    for name, known in remembered.items():
        network.add(name, known=known)
    network.run(120)
    assert network.table()["n0"].keys() == {"n0", "n1"}
    network.heal()
    network.run_until(network.all_see_all, timeout=30)


def test_a_seed_under_another_name_is_called_on_no_more_often_than_members_are() -> None:
    network = VirtualNetwork(seed=3)
    network.add("n1")
    network.add("n2", known=[network.alias("192.0.2.1", "n1")])
    network.run_until(network.all_see_all, timeout=10)
    before = network.streams
    network.run(600)
    assert network.streams - before <= 600 / 30 * 3 + 3  # two members' exchanges, and the seed's
    assert network.status("n1", "n2") == "alive"
    assert network.nodes["n2"].serf._clock.time < 10  # and no intent with each


def test_an_address_that_nobody_gave_is_forgotten_a_day_after_it_was_last_alive() -> None:
    config = GossipConfig(reconnect_timeout=300, tombstone_timeout=300)
    network = VirtualNetwork(seed=3, config=config)
    network.add("gone")
    remembered = KnownAddress(host=network.nodes["gone"].address[0], port=PORT, name="gone", unseen=200.0)
    network.crash("gone")
    network.add("n1", known=[remembered])
    network.run(90)
    assert [each.name for each in network.nodes["n1"].serf.known_addresses()] == ["gone"]
    network.run(60)
    assert network.nodes["n1"].serf.known_addresses() == []
    before = network.streams
    network.run(60)
    assert network.streams == before
