"""Vivaldi: coordinates come to say what round trips are, and no coordinate of others does harm."""

import math
from random import Random

import pytest

from proglog.gossip.coordinates import MAX_SECONDS, MIN_HEIGHT, Coordinate, Vivaldi
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.wire import encode_map

CAPTURED = bytes.fromhex(
    "0184aa41646a7573746d656e74cb0000000000000000a54572726f72cb3ff8000000000000a6486569676874cb3ee4f8b588e368f1"
    "a356656398" + "cb0000000000000000" * 8
)


def matrix(random: Random, count: int) -> dict[tuple[int, int], float]:
    """Round trips between points of a plane, in seconds, with an access link each."""
    places = [(random.uniform(0, 0.1), random.uniform(0, 0.1), random.uniform(0.001, 0.01)) for _ in range(count)]
    return {
        (a, b): math.dist(places[a][:2], places[b][:2]) + places[a][2] + places[b][2]
        for a in range(count)
        for b in range(count)
        if a != b
    }


def settle(nodes: list[Vivaldi], round_trips: dict[tuple[int, int], float], random: Random, rounds: int) -> None:
    for _ in range(rounds):
        for a, node in enumerate(nodes):
            b = random.choice([other for other in range(len(nodes)) if other != a])
            node.measured(str(b), nodes[b].own, round_trips[a, b] * random.uniform(0.97, 1.03))


def errors(nodes: list[Vivaldi], round_trips: dict[tuple[int, int], float]) -> list[float]:
    return sorted(
        abs(nodes[a].own.distance(nodes[b].own) - seconds) / seconds
        for (a, b), seconds in round_trips.items()
        if a < len(nodes) and b < len(nodes)
    )


def test_the_first_coordinate_is_the_bytes_of_a_stock_agent() -> None:
    assert Coordinate().encode() == CAPTURED
    assert Coordinate.read(CAPTURED) == Coordinate()
    assert Coordinate.read(b"") is None


def test_two_nodes_come_to_the_round_trip_that_they_measure() -> None:
    random = Random(1)
    nodes = [Vivaldi(random), Vivaldi(random)]
    settle(nodes, {(0, 1): 0.1, (1, 0): 0.1}, random, 60)
    assert nodes[0].own.distance(nodes[1].own) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_coordinates_come_close_to_all_round_trips_of_a_plane(seed: int) -> None:
    random = Random(seed)
    round_trips = matrix(random, 10)
    nodes = [Vivaldi(random) for _ in range(10)]
    settle(nodes, round_trips, random, 600)
    wrong = errors(nodes, round_trips)
    assert wrong[len(wrong) // 2] < 0.1
    assert wrong[int(len(wrong) * 0.9)] < 0.3


def distances(places: list[tuple[float, ...]], links: list[float]) -> dict[tuple[int, int], float]:
    return {
        (a, b): math.dist(places[a], places[b]) + links[a] + links[b]
        for a in range(len(places))
        for b in range(len(places))
        if a != b
    }


CHANCE, AROUND = Random(4), "a circle around one with a long way to the network"
SHAPES = {
    "line": distances([(0.01 * number,) for number in range(10)], [0.0] * 10),
    "grid": distances([(0.01 * (number % 4), 0.01 * (number // 4)) for number in range(16)], [0.0] * 16),
    "two halves": distances([(0.01 * (number % 2),) for number in range(10)], [0.0005] * 10),
    AROUND: distances(
        [(0.0, 0.0)] + [(0.1 * math.cos(angle / 2), 0.1 * math.sin(angle / 2)) for angle in range(12)],
        [0.1] + [0.0] * 12,
    ),
    "by chance": {
        key: seconds
        for (a, b) in [(a, b) for a in range(10) for b in range(a)]
        for seconds in [CHANCE.uniform(0.05, 0.1)]
        for key in ((a, b), (b, a))
    },
}


@pytest.mark.parametrize(
    ("shape", "mean"), [("line", 0.05), ("grid", 0.05), ("two halves", 0.1), (AROUND, 0.05), ("by chance", 0.2)]
)
def test_coordinates_come_close_on_every_shape_of_network(shape: str, mean: float) -> None:
    random, round_trips = Random(2), SHAPES[shape]
    nodes = [Vivaldi(random) for _ in range(1 + max(a for a, _ in round_trips))]
    settle(nodes, round_trips, random, 1000)
    wrong = errors(nodes, round_trips)
    assert sum(wrong) / len(wrong) < mean


def test_coordinates_do_not_drift_away_together() -> None:
    random, round_trips = Random(5), matrix(Random(5), 8)
    nodes = [Vivaldi(random) for _ in range(8)]

    def away() -> float:
        """How far their middle is from the origin."""
        return math.hypot(*(sum(parts) / len(nodes) for parts in zip(*(node.own.vec for node in nodes), strict=True)))

    settle(nodes, round_trips, random, 300)
    before = away()
    settle(nodes, round_trips, random, 1500)
    assert away() < before + 0.02


@pytest.mark.parametrize("error", [0.0, 1.5])
def test_a_node_that_says_it_is_far_away_moves_nobody_far(error: float) -> None:
    random = Random(3)
    round_trips = matrix(random, 6)
    nodes = [Vivaldi(random) for _ in range(6)]
    settle(nodes, round_trips, random, 400)
    before = errors(nodes, round_trips)
    rogue = Coordinate((MAX_SECONDS,) * 8, error, 0.0, MAX_SECONDS)
    for _ in range(200):
        settle(nodes, round_trips, random, 5)
        for node in nodes:
            node.measured("rogue", rogue, 0.02)
    after = errors(nodes, round_trips)
    assert after[len(after) // 2] < max(0.2, 2 * before[len(before) // 2])
    assert all(node.resets == 0 for node in nodes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"Vec": [math.nan] + [0.0] * 7},
        {"Vec": [math.inf] + [0.0] * 7},
        {"Vec": [1e300] + [0.0] * 7},
        {"Vec": [0.0] * 7},
        {"Vec": [0.0] * 9},
        {"Vec": None},
        {"Vec": ["x"] * 8},
        {"Vec": [True] * 8},
        {"Error": math.nan},
        {"Error": -1.0},
        {"Height": -math.inf},
        {"Height": 1 << 63},
        {"Adjustment": math.nan},
    ],
)
def test_a_coordinate_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MalformedMessageError):
        Coordinate.read(b"\x01" + encode_map(Coordinate().fields() | wrong))


def test_a_coordinate_of_another_version_is_refused() -> None:
    with pytest.raises(MalformedMessageError, match="version 2"):
        Coordinate.read(b"\x02" + CAPTURED[1:])


@pytest.mark.parametrize("seconds", [-1.0, MAX_SECONDS + 1, math.nan, math.inf])
def test_a_round_trip_that_cannot_be_moves_nothing(seconds: float) -> None:
    node = Vivaldi(Random(1))
    node.measured("b", Coordinate(), seconds)
    assert node.own == Coordinate()


def test_one_late_answer_among_three_counts_for_nothing() -> None:
    node, other = Vivaldi(Random(1)), Coordinate((0.05,) + (0.0,) * 7, 0.1)
    for seconds in (0.05, 0.05, 5.0):
        node.measured("b", other, seconds)
    assert node.own.distance(other) == pytest.approx(0.05, rel=0.3)


def test_a_height_never_falls_below_the_smallest() -> None:
    node = Vivaldi(Random(1))
    for _ in range(50):
        node.measured("b", Coordinate((0.1,) + (0.0,) * 7, 0.1), 0.0)
    assert node.own.height >= MIN_HEIGHT


def test_an_answer_brings_a_coordinate_and_members_show_it(bench) -> None:  # type: ignore[no-untyped-def]
    from proglog.gossip.wire import Type

    bench.alive("a")
    bench.take_sent()
    bench.run(1.0)
    pings = [fields for kind, fields, _ in bench.take_sent() if kind == Type.PING]
    bench.now += 0.02
    place = Coordinate((0.01,) + (0.0,) * 7, 0.5)
    bench.send(Type.ACK, SeqNo=pings[0].uint("SeqNo"), Payload=place.encode())
    known = {member.name: member.coordinate for member in bench.serf.members()}
    assert known["a"] == place
    assert known["me"] not in (None, Coordinate())
    assert bench.serf.ack_payload() == known["me"].encode()


def test_a_coordinate_that_makes_no_sense_costs_the_answer_nothing(bench) -> None:  # type: ignore[no-untyped-def]
    from proglog.gossip.wire import Type

    bench.alive("a")
    bench.take_sent()
    bench.run(1.0)
    pings = [fields for kind, fields, _ in bench.take_sent() if kind == Type.PING]
    bench.send(Type.ACK, SeqNo=pings[0].uint("SeqNo"), Payload=b"\x01" + encode_map({"Vec": [math.nan] * 8}))
    assert any("coordinate" in reason for reason in bench.ignored())
    bench.run(0.9)
    assert bench.state("a") == "alive 1"
    assert next(member.rtt_ms for member in bench.serf.members() if member.name == "a") is not None
