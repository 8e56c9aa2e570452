"""The claims of the Lifeguard paper, each test under the sentence that it checks.

Dadgar, Phillips, Currey: "Lifeguard: Local Health Awareness for More Accurate Failure Detection", DSN 2018.
"""

import math
from typing import Any

import pytest

from proglog.gossip.awareness import Awareness
from proglog.gossip.config import GossipConfig
from proglog.gossip.suspicion import Suspicion
from proglog.gossip.wire import Type


def ping_of(bench: Any) -> tuple[int, tuple[str, int]]:
    """Let time pass to the next probe; return its number, and who is probed."""
    bench.take_sent()
    for _ in range(200):
        bench.run(0.05)
        for kind, fields, to in bench.take_sent():
            if kind == Type.PING:
                return fields.uint("SeqNo"), to
    raise AssertionError("no probe in ten seconds")


def score(bench: Any) -> int:
    return int(bench.serf.vitals().health_score)


def test_the_local_health_multiplier_is_bounded_and_never_negative() -> None:
    """IV-A: "LHM is a saturating counter, with a max value S and min value zero, meaning it will not increase above S or
    decrease below zero."
    """
    health = Awareness(GossipConfig.lan().awareness_max)
    health.apply(-3)
    assert health.score == 0
    health.apply(100)
    assert health.score == 7
    assert health.scale(1.0) == 8.0


def test_a_successful_probe_heals_and_an_unanswered_one_harms(bench: Any) -> None:
    """IV-A: "Successful probe (ping or ping-req with ack): -1", "Failed probe +1"."""
    bench.alive("a")
    ping_of(bench)
    bench.run(1.05)  # the round ends, and the next one begins
    assert score(bench) == 1
    (ping, *_) = [fields for kind, fields, _ in bench.take_sent() if kind == Type.PING]
    bench.send(Type.ACK, SeqNo=ping.uint("SeqNo"), Payload=None)
    assert score(bench) == 0


def test_missing_nacks_and_not_missing_acks_say_that_this_node_is_the_sick_one(bench: Any) -> None:
    """IV-A: nacks give "the member that initiates the indirect probe a way to check if it is receiving timely responses
    from the k members it enlists, even if the target of their indirect pings is not responsive"; "Probe with missed nack: +1".
    """
    for name in "abcde":
        bench.alive(name)
    number, _ = ping_of(bench)
    bench.run(0.55)
    helpers = [to for kind, _, to in bench.take_sent() if kind == Type.INDIRECT_PING]
    assert len(helpers) == 3
    for helper in helpers:
        bench.datagram(bytes((Type.NACK,)) + b"\x81\xa5SeqNo" + number.to_bytes(1, "big"), helper)
    bench.run(0.5)
    assert score(bench) == 0
    assert any(bench.state(name).startswith("suspect") for name in "abcde")

    number, _ = ping_of(bench)
    bench.run(1.0)
    assert score(bench) == 3


def test_having_to_refute_harms_the_local_health(bench: Any) -> None:
    """IV-A: "Refuting a suspect message about self: +1"."""
    bench.alive("a")
    bench.suspect("me", "a")
    assert score(bench) == 1


@pytest.mark.parametrize("nodes", [5, 10, 100, 1000])
def test_a_suspicion_starts_long_and_falls_logarithmically_with_confirmations(nodes: int) -> None:
    """IV-B: "SuspicionTimeout = max(Min, Max - (Max - Min) log(C + 1) / log(K + 1))"; "K is the number of independent
    suspicions required to be received before setting the suspicion timeout to Min."
    """
    config = GossipConfig.lan()
    suspicion = Suspicion(config, nodes=nodes, accuser="a")
    least = config.suspicion_mult * max(1.0, math.log10(nodes)) * config.probe_interval
    most = config.suspicion_max_mult * least
    assert suspicion.timeout == pytest.approx(most, abs=0.001)
    assert suspicion.confirm("b")
    assert suspicion.timeout == pytest.approx(most - (most - least) * math.log(2) / math.log(3), abs=0.002)
    assert suspicion.confirm("c")
    assert suspicion.timeout == pytest.approx(least, abs=0.002)


def test_one_accuser_counts_once_and_only_k_independent_ones_count() -> None:
    """IV-B: "C is the number of independent suspicions about that member received since the local suspicion was raised." """
    suspicion = Suspicion(GossipConfig.lan(), nodes=10, accuser="a")
    assert not suspicion.confirm("a")
    assert suspicion.confirm("b")
    assert not suspicion.confirm("b")
    assert suspicion.confirm("c")
    assert not suspicion.confirm("d")


def test_a_suspect_hears_of_the_suspicion_with_the_next_ping(bench: Any) -> None:
    """IV-C: "any node that pings a suspected node [...] will communicate the suspicion as part of the ping"."""
    bench.alive("a")
    bench.suspect("a", "b")
    bench.run(0.05)
    bench.take_sent()
    for _ in range(40):
        bench.run(0.1)
        sent = bench.take_sent()
        if any(kind == Type.PING for kind, _, _ in sent):
            break
    assert [fields.text("Node") for kind, fields, _ in sent if kind == Type.SUSPECT] != []
