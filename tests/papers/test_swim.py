"""The claims of the SWIM paper, each test under the sentence that it checks.

Das, Gupta, Motivala: "SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol", DSN 2002.
"""

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
    """4.2: "If Mi receives no acknowledgements, either directly or through the indirect probing sub-group, it [...] marks Mj
    as a Suspected member in its local membership list."
    """
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
    """Abstract: "Both the expected time to first detection of each process failure, and the expected message load per
    member, do not vary with group size."
    """
    network = peaceful(size)
    before = network.datagrams
    network.run(60.0)
    each = (network.datagrams - before) / size / 60
    assert 1.9 < each < 2.2  # a ping and an ack a second


def test_every_member_is_probed_within_two_rounds(bench: Any) -> None:
    """4.3: "successive selections of the same target are at most (2 n - 1) protocol periods apart"."""
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
    """4.2: the incarnation number "can be incremented only by Mi when it receives information [...] about itself being
    suspected in the current incarnation"; it "then generates an Alive message".
    """
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
    """4.2: "Confirm messages override both Suspect and Alive messages"; a rejoin has a higher incarnation."""
    bench.alive("a", 5)
    bench.dead("a", "b", 5)
    bench.alive("a", 5)
    bench.suspect("a", "b", 5)
    assert bench.state("a") == "dead 5"
    bench.alive("a", 6)
    assert bench.state("a") == "alive 6"


@pytest.mark.parametrize("size", [1, 9, 99])
def test_news_is_passed_on_a_logarithmic_number_of_times(size: int) -> None:
    """4.1: "Each element is piggybacked at most λ log n times"."""
    assert retransmit_limit(4, size) == 4 * math.ceil(math.log10(size + 1))


def test_the_least_often_sent_news_goes_first(bench: Any) -> None:
    """4.1: "elements that have been gossiped fewer times are preferred"."""
    queue = bench.serf._swim.outbox.user_queue()
    queue.add(b"old old old")
    assert queue.take(50, 3, 4) == [b"old old old"]
    queue.add(b"new")
    assert queue.take(12, 3, 4) == [b"new"]


@pytest.mark.parametrize("size", [5, 20, 40])
def test_news_of_a_join_and_of_a_crash_spreads_in_logarithmic_time(size: int) -> None:
    """Abstract: "a robust and fast infection style (also epidemic or gossip-style) of dissemination". A crash is found
    within some e/(e - 1) periods, and then spreads like a join.
    """
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
