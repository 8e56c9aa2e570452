"""The small parts: one formula, clock, queue or heap each."""

from typing import Any

import pytest

from proglog.errors import ConfigError
from proglog.gossip.awareness import Awareness
from proglog.gossip.broadcasts import LEAST_BOUND, BroadcastQueue
from proglog.gossip.config import GossipConfig, push_pull_period, retransmit_limit
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.lamport import LamportClock
from proglog.gossip.member import address_of, packed_ip
from proglog.gossip.recent import MAX_PER_TIME, Recent
from proglog.gossip.suspicion import Suspicion
from proglog.gossip.timers import Timers


@pytest.mark.parametrize(("nodes", "limit"), [(1, 4), (9, 4), (10, 8), (99, 8), (100, 12)])
def test_a_message_is_sent_as_often_as_the_clusters_size_asks(nodes: int, limit: int) -> None:
    assert retransmit_limit(4, nodes) == limit


@pytest.mark.parametrize(("nodes", "seconds"), [(1, 30), (32, 30), (33, 60), (64, 60), (65, 90), (128, 90)])
def test_full_exchanges_get_rarer_beyond_32_nodes(nodes: int, seconds: float) -> None:
    assert push_pull_period(30, nodes) == seconds


@pytest.mark.parametrize(
    ("nodes", "accusers", "seconds"),
    [(2, 1, 4.0), (3, 1, 4.0), (5, 1, 24.0), (5, 2, 11.381), (5, 3, 4.0), (100, 1, 48.0), (100, 3, 8.0)],
)
def test_a_suspicion_gets_shorter_with_every_accuser(nodes: int, accusers: int, seconds: float) -> None:
    suspicion = Suspicion(GossipConfig.lan(), nodes=nodes, accuser="a")
    for name in "bcd"[: accusers - 1]:
        assert suspicion.confirm(name)
    assert suspicion.timeout == pytest.approx(seconds, abs=0.001)


def test_the_same_accuser_and_more_than_needed_confirm_nothing() -> None:
    suspicion = Suspicion(GossipConfig.lan(), nodes=9, accuser="a")
    assert [suspicion.confirm(name) for name in "abbcd"] == [False, True, False, True, False]
    assert suspicion.accusers == ("a", "b", "c")


def test_health_stays_within_its_bounds() -> None:
    awareness = Awareness(8)
    awareness.apply(-3)
    assert awareness.score == 0
    awareness.apply(100)
    assert awareness.score == 7
    assert awareness.scale(0.5) == 4.0


def test_a_lamport_clock_is_later_than_all_it_has_seen() -> None:
    clock = LamportClock()
    clock.witness(0)
    assert clock.time == 1
    clock.witness(41)
    clock.witness(3)
    assert (clock.time, clock.increment()) == (42, 43)


def test_a_lamport_clock_does_not_believe_a_time_that_nobody_counted_to() -> None:
    clock = LamportClock()
    for hostile in (2**33, 2**63 - 1, 2**64):
        with pytest.raises(MalformedMessageError, match="implausibly far"):
            clock.witness(hostile)
    assert clock.time == 1


def test_recent_news_is_news_once_and_old_news_never() -> None:
    recent = Recent()
    assert recent.is_news(600, 601, b"a")
    assert not recent.is_news(600, 601, b"a")
    assert recent.is_news(600, 601, b"b")
    assert not recent.is_news(88, 600, b"a")
    assert recent.is_news(600 + 512, 1113, b"a")
    assert not recent.is_news(600, 601, b"c")


def test_a_flood_at_one_time_is_bounded() -> None:
    recent = Recent()
    assert sum(recent.is_news(1, 2, b"%d" % number) for number in range(1000)) == MAX_PER_TIME


def queue() -> BroadcastQueue:
    return BroadcastQueue(lambda: None, 1 << 20)


def test_a_message_leaves_as_often_as_allowed_and_then_says_so() -> None:
    told: list[str] = []
    items = queue()
    items.add(b"news", finished=lambda: told.append("done"))
    assert [items.take(100, 2, 3) for _ in range(4)] == [[b"news"], [b"news"], [b"news"], []]
    assert told == ["done"]


def test_the_least_sent_goes_first_then_the_longest_then_the_newest() -> None:
    items = queue()
    items.add(b"old-")
    items.take(100, 2, 9)
    for message in (b"aa", b"bbbb", b"cc"):
        items.add(message)
    assert items.take(100, 2, 9) == [b"bbbb", b"cc", b"aa", b"old-"]


def test_what_does_not_fit_waits_and_lets_the_smaller_pass() -> None:
    items = queue()
    items.add(b"x" * 50)
    items.add(b"y" * 10)
    assert items.take(20, 2, 9) == [b"y" * 10]
    assert items.take(100, 2, 9) == [b"x" * 50, b"y" * 10]


def test_a_new_message_about_a_name_replaces_the_old_one() -> None:
    told: list[str] = []
    items = queue()
    items.add(b"alive 1", key="a", finished=lambda: told.append("replaced"))
    items.add(b"alive 1", key="b")
    items.add(b"alive 2", key="a")
    assert sorted(items.take(100, 2, 9)) == [b"alive 1", b"alive 2"]
    assert told == ["replaced"]


def test_a_full_queue_gives_up_what_was_sent_most() -> None:
    items = queue()
    items.add(b"worn")
    items.take(100, 2, 9)
    for number in range(LEAST_BOUND):
        items.add(b"%d" % number)
    assert LEAST_BOUND // 2 < len(items) <= LEAST_BOUND
    assert b"worn" not in items.take(1 << 20, 2, 9)


@pytest.mark.parametrize(("nodes", "bound"), [(1, 4096), (2048, 4096), (2049, 4098), (10_000, 20_000)])
def test_the_bound_of_a_queue_grows_with_the_cluster(nodes: int, bound: int) -> None:
    items = BroadcastQueue(lambda: None, 100, lambda: nodes)
    for number in range(bound):
        items.add(b"%d" % number)
    assert len(items) == items.bound == bound
    items.add(b"one more")
    assert len(items) <= bound


def test_a_message_that_fits_no_packet_is_refused_and_says_that_it_is_done() -> None:
    told: list[str] = []
    items = BroadcastQueue(lambda: None, 100)
    assert not items.add(b"x" * 101, finished=lambda: told.append("done"))
    assert items.add(b"x" * 100)
    assert (len(items), told) == (1, ["done"])


def test_a_flood_about_one_name_holds_one_message() -> None:
    items = queue()
    for number in range(10_000):
        items.add(b"%d" % number, key="a")
    assert (len(items), len(items._heap) < 200) == (1, True)
    assert items.take(100, 2, 9) == [b"9999"]


def test_timers_run_in_order_and_cancelled_ones_do_not() -> None:
    timers, ran = Timers(0.0, 0.5), []
    for deadline in (3.0, 1.0, 2.0):
        timers.at(deadline, lambda deadline=deadline: ran.append(deadline))
    timers.at(1.5, lambda: ran.append("cancelled")).cancel()
    for now in (1.0, 2.0, 2.4):
        assert timers.next_deadline() in (1.0, 2.0, 3.0)
        timers.advance(now)
        timers.run_due()
    assert ran == [1.0, 2.0]


def test_time_in_which_the_process_stood_still_does_not_count() -> None:
    timers, ran = Timers(0.0, 0.5), []
    timers.after(4.0, lambda: ran.append("four"))
    timers.after(1.0, lambda: ran.append("one"))
    timers.advance(301.0)
    timers.after(2.0, lambda: ran.append("begun after the stall"))
    timers.run_due()
    assert (ran, timers.now, timers.outside) == (["one"], 1.0, 301.0)
    assert timers.next_deadline() == 303.0
    timers.advance(303.0)
    timers.run_due()
    assert ran == ["one", "begun after the stall"]
    assert timers.next_deadline() == 304.0


def test_a_driver_that_comes_at_the_deadline_does_not_come_in_vain() -> None:
    timers, ran = Timers(0.1, 0.5), []
    timers.after(0.2, lambda: ran.append("first"))
    timers.after(0.7, lambda: ran.append("second"))
    timers.advance(1e6 / 3)
    timers.run_due()
    deadline = timers.next_deadline()
    timers.advance(deadline)
    timers.run_due()
    assert ran == ["first", "second"]


@pytest.mark.parametrize("address", ["127.0.77.1", "::1"])
def test_an_address_comes_back(address: str) -> None:
    assert address_of(packed_ip(address), 7) == (address, 7)


def test_an_ipv4_address_in_16_bytes_is_shown_as_ipv4() -> None:
    assert address_of(bytes(10) + b"\xff\xff\x7f\x00\x4d\x01", 7) == ("127.0.77.1", 7)


@pytest.mark.parametrize("ip", [b"", b"abc", bytes(17)])
def test_an_address_of_another_length_is_refused(ip: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        address_of(ip, 7)


@pytest.mark.parametrize(
    "wrong", [{"probe_interval": 0}, {"probe_timeout": 2.0}, {"gossip_nodes": -1}, {"tcp_timeout": float("inf")}]
)
def test_a_configuration_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GossipConfig(**wrong)


def test_the_profiles_are_memberlists() -> None:
    lan, wan, local = GossipConfig.lan(), GossipConfig.wan(), GossipConfig.local()
    assert [each.probe_interval for each in (lan, wan, local)] == [1, 5, 1]
    assert [each.suspicion_mult for each in (lan, wan, local)] == [4, 6, 3]
    assert [each.gossip_interval for each in (lan, wan, local)] == [0.2, 0.5, 0.1]


def test_a_node_is_unwell_from_a_score_of_four_until_it_is_zero_again() -> None:
    told: list[bool] = []
    awareness = Awareness(8, told.append)
    for delta, unwell in ((3, False), (1, True), (-1, True), (3, True), (-5, True), (-1, False), (2, False), (9, True)):
        awareness.apply(delta)
        assert awareness.unwell is unwell
    assert told == [True, False, True]
