"""What the SWIM paper promises: Das, Gupta, Motivala 2002. Each test names the section, and says its claim in our words."""

import math
from collections import Counter
from typing import Any

import pytest

from proglog.gossip.config import GossipConfig, retransmit_limit
from proglog.gossip.wire import Type
from proglog.testing.network import VirtualNetwork


def peaceful(size: int) -> VirtualNetwork:
    """A cluster in which all has been said."""
    network = VirtualNetwork(seed=3)
    for number in range(size):
        network.add(f"n{number}")
    for number in range(1, size):
        network.join(f"n{number}", "n0")
    network.run(60.0)
    return network


def status(network: VirtualNetwork, observer: str, name: str) -> str:
    node = network.nodes[observer].serf._swim.nodes.get(name)
    return "" if node is None else str(node.status)


def test_who_does_not_answer_is_asked_through_k_others_before_it_is_suspected(bench: Any) -> None:
    """Section 3.1: without an ack in time, k random members are asked to ping the target, and their acks count."""
    for name in "abcdef":
        bench.alive(name)
    bench.take_sent()
    pings: list[Any] = []
    while not pings:
        bench.run(0.1)
        pings = [(fields, to) for kind, fields, to in bench.take_sent() if kind == Type.PING]
    ((ping, target), *_) = pings
    bench.run(0.55)
    asked = {to for kind, _, to in bench.take_sent() if kind == Type.INDIRECT_PING}
    assert len(asked) == 3
    assert target not in asked
    bench.send(Type.ACK, SeqNo=ping.uint("SeqNo"), Payload=None)  # through one of them
    bench.run(0.5)
    assert [name for name in "abcdef" if bench.state(name).startswith("suspect")] == []


@pytest.mark.parametrize("size", [4, 12, 40])
def test_the_load_on_a_member_does_not_grow_with_the_group(size: int) -> None:
    """Sections 1 and 3: each member sends and receives a constant number of messages a period, whatever the size."""
    network = peaceful(size)
    before = network.datagrams
    network.run(60.0)
    each = (network.datagrams - before) / size / 60
    assert 1.9 < each < 2.2  # a ping and an ack a second


def test_every_member_is_probed_within_two_rounds(bench: Any) -> None:
    """Section 4.3: along a shuffled list, two probes of one member are at most 2n - 1 periods apart."""
    names = "abcdefgh"
    for name in names:
        bench.alive(name)
    last: dict[Any, int] = {}
    gaps: Counter[int] = Counter()
    for period in range(200):
        bench.take_sent()
        bench.run(1.0)
        for kind, fields, to in bench.take_sent():
            if kind == Type.PING:
                gaps[period - last.get(to, period)] += 1
                last[to] = period
                bench.send(Type.ACK, SeqNo=fields.uint("SeqNo"), Payload=None)
    assert len(last) == len(names)
    assert max(gaps) <= 2 * len(names) - 1


def test_only_the_accused_raises_its_incarnation_and_that_clears_it(bench: Any) -> None:
    """Section 4.2: a suspected member that hears of it says that it is alive, under an incarnation that only it raises."""
    bench.alive("a", 1)
    bench.suspect("a", "b", 1)
    bench.alive("a", 1)
    assert bench.state("a") == "suspect 1"
    bench.alive("a", 2)
    assert bench.state("a") == "alive 2"
    bench.take_sent()
    bench.suspect("me", "b", 1)
    bench.run(0.3)
    said = [fields.uint("Incarnation") for kind, fields, _ in bench.take_sent() if kind == Type.ALIVE]
    assert bench.state("me") == "alive 2"
    assert set(said) <= {2}


def test_a_confirmed_death_is_final_until_a_higher_incarnation(bench: Any) -> None:
    """Section 4.2: confirm overrides alive and suspect of any incarnation that is not higher."""
    bench.alive("a", 5)
    bench.dead("a", "b", 5)
    bench.alive("a", 5)
    bench.suspect("a", "b", 5)
    assert bench.state("a") == "dead 5"
    bench.alive("a", 6)
    assert bench.state("a") == "alive 6"


@pytest.mark.parametrize("size", [1, 9, 99])
def test_news_is_passed_on_a_logarithmic_number_of_times(size: int) -> None:
    """Section 4.1: an update is piggybacked lambda log n times at most, and reaches the group all the same."""
    assert retransmit_limit(4, size) == 4 * math.ceil(math.log10(size + 1))


def test_the_least_often_sent_news_goes_first(bench: Any) -> None:
    """Section 4.1: elements that were gossiped fewer times are preferred."""
    queue = bench.serf._swim.outbox.user_queue()
    queue.add(b"old old old")
    assert queue.take(50, 3, 4) == [b"old old old"]
    queue.add(b"new")
    assert queue.take(12, 3, 4) == [b"new"]


@pytest.mark.parametrize("size", [5, 20, 60])
def test_news_of_a_join_and_of_a_crash_spreads_in_logarithmic_time(size: int) -> None:
    """Sections 4.1 and 5: infection spreads exponentially; a crash is found within about e/(e-1) periods, and then told."""
    network = peaceful(size)
    survivors = [f"n{number}" for number in range(size)]
    network.add("late", known=network.seed("n0"))
    rounds = math.ceil(math.log(size + 1, 1 + GossipConfig.lan().gossip_nodes)) + retransmit_limit(4, size + 1)
    network.run(0.5 + rounds * GossipConfig.lan().gossip_interval)
    told = sum(status(network, name, "late") == "alive" for name in survivors)
    assert told >= 0.9 * size  # gossip may miss a few; a full exchange finds them
    network.run(60.0)
    assert all(status(network, name, "late") == "alive" for name in survivors)
    network.crash("late")
    shortest = 4 * max(1.0, math.log10(size + 1))
    network.run(6.0 + shortest + rounds * GossipConfig.lan().gossip_interval)
    assert sum(status(network, name, "late") == "failed" for name in survivors) >= 0.9 * size
