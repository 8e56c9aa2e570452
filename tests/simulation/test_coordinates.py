"""Whole clusters whose members are different distances apart: what coordinates say of every pair, liars included."""

import math
from itertools import combinations

import pytest

from proglog.gossip.coordinates import MAX_SECONDS, Coordinate
from proglog.gossip.member import Address
from proglog.testing.network import VirtualNetwork, VirtualNode

PLACES = {
    "a": (0, 0, 1),
    "b": (4, 0, 1),
    "c": (0, 30, 2),
    "d": (5, 34, 1),
    "e": (60, 10, 3),
    "f": (62, 14, 1),
    "g": (30, 30, 5),
    "h": (31, 28, 1),
}
"""Milliseconds, one way: a place in a plane, and the way to the network there."""


class PlacedNetwork(VirtualNetwork):
    """Packets take as long as their ends are apart, and up to a tenth more."""

    def _send(self, source: VirtualNode, data: bytes, address: Address) -> None:
        way = round_trip(source.serf.name, self._addresses.get(address, source.serf.name)) / 2
        self.delay = way, way * 1.1
        super()._send(source, data, address)


def round_trip(a: str, b: str) -> float:
    """The shortest round trip between two nodes, in seconds."""
    one, other = PLACES[a], PLACES[b]
    return 2 * (math.dist(one[:2], other[:2]) + one[2] + other[2]) / 1000


def settled(*liars: str, lie: bytes = b"") -> PlacedNetwork:
    network = PlacedNetwork(seed=5)
    for name in PLACES:
        network.add(name)
    for name in liars:
        network.nodes[name].serf.ack_payload = lambda: lie  # type: ignore[method-assign]
    network.join_all()
    network.run(600.0)
    return network


def wrongness(network: PlacedNetwork, observer: str, *left_out: str) -> list[float]:
    """How far off, as a share, are the estimates of each pair by what ``observer`` knows, the best first."""
    places = {member.name: member.coordinate for member in network.nodes[observer].serf.members()}
    found = []
    for a, b in combinations([name for name in PLACES if name not in left_out], 2):
        one, other = places[a], places[b]
        assert one is not None
        assert other is not None
        found.append(abs(one.distance(other) - round_trip(a, b) * 1.05) / (round_trip(a, b) * 1.05))
    return sorted(found)


def test_the_estimates_of_all_pairs_are_within_twenty_percent() -> None:
    network = settled()
    for observer in ("a", "e"):
        wrong = wrongness(network, observer)
        assert wrong[len(wrong) // 2] < 0.05
        assert wrong[-1] < 0.2, wrong


@pytest.mark.parametrize(
    "lie",
    [
        Coordinate((MAX_SECONDS,) * 8, 0.0, 0.0, MAX_SECONDS).encode(),
        Coordinate((math.nan,) * 8, 0.0, 0.0, 0.0).encode(),
        Coordinate((0.0,) * 8, 0.0, 0.0, 0.0).encode(),
    ],
    ids=["far away", "not a number", "everywhere"],
)
def test_one_that_lies_about_its_place_spoils_no_estimate_of_others(lie: bytes) -> None:
    network = settled("h", lie=lie)
    wrong = wrongness(network, "a", "h")
    assert wrong[len(wrong) // 2] < 0.05
    assert wrong[-1] < 0.2, wrong
    assert all(network.status("a", name) == "alive" for name in PLACES)
