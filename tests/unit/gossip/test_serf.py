"""Serf's member table, row by row; events, keys, forgetting."""

from collections.abc import Callable
from typing import Any

import pytest

from proglog.errors import NotFoundError, PreconditionError
from proglog.gossip.config import GossipConfig
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.events import Ignored, LeaveFinished, UserEventReceived
from proglog.gossip.framing import StreamReader
from proglog.gossip.wire import SerfType, Type, decode, encode, encode_tags


def join(bench: Any, name: str, ltime: int) -> None:
    bench.send_serf(SerfType.JOIN, LTime=ltime, Node=name)


def leave(bench: Any, name: str, ltime: int, *, prune: bool = False) -> None:
    bench.send_serf(SerfType.LEAVE, LTime=ltime, Node=name, Prune=prune)


def state(**fields: Any) -> bytes:
    zero = {"LTime": 0, "StatusLTimes": {}, "LeftMembers": [], "EventLTime": 0, "Events": None, "QueryLTime": 0}
    return encode(SerfType.PUSH_PULL, zero | fields)


def resent(bench: Any, kind: SerfType) -> list[str]:
    """Names in intents that this node passes on."""
    bench.alive("h")
    bench.take_sent_serf()
    bench.run(0.3)
    return [fields.text("Node") for type_, fields, _ in bench.take_sent_serf() if type_ == kind]


def test_who_is_found_dead_without_an_intent_has_failed(bench: Any) -> None:
    bench.alive("a")
    bench.events()
    bench.dead("a", "b")
    assert bench.status("a") == "failed"
    assert bench.events() == ["member-failed a"]


def test_who_says_itself_that_it_is_gone_has_left_though_its_intent_was_lost(bench: Any) -> None:
    bench.alive("a")
    bench.alive("b")
    bench.events()
    bench.dead("a", "a")
    bench.dead("b", "a")
    bench.dead("b", "b")
    assert (bench.status("a"), bench.status("b")) == ("left", "left")
    assert bench.events() == ["member-leave a", "member-failed b", "member-leave b"]


def test_a_departure_after_an_intent_is_a_leave(bench: Any) -> None:
    bench.alive("a")
    bench.events()
    leave(bench, "a", 5)
    assert bench.status("a") == "leaving"
    bench.dead("a", "a")
    assert bench.status("a") == "left"
    assert bench.events() == ["member-leave a"]


def test_an_intent_about_a_failed_member_makes_it_left(bench: Any) -> None:
    bench.alive("a")
    bench.dead("a", "b")
    bench.events()
    leave(bench, "a", 5)
    assert bench.status("a") == "left"
    assert bench.events() == ["member-leave a"]


def test_a_join_intent_takes_a_leave_intent_back(bench: Any) -> None:
    bench.alive("a")
    leave(bench, "a", 5)
    join(bench, "a", 6)
    assert (bench.status("a"), bench.ltime("a")) == ("alive", 6)


@pytest.mark.parametrize("ltime", [4, 5])
def test_intents_that_are_not_news_are_dropped(bench: Any, ltime: int) -> None:
    bench.alive("a")
    join(bench, "a", 5)
    leave(bench, "a", ltime)
    assert bench.status("a") == "alive"


def test_a_leave_intent_before_its_member_waits_for_it(bench: Any) -> None:
    leave(bench, "a", 5)
    bench.alive("a")
    assert (bench.status("a"), bench.ltime("a")) == ("leaving", 5)


def test_a_join_intent_before_its_member_gives_it_its_time(bench: Any) -> None:
    join(bench, "a", 5)
    bench.alive("a")
    assert (bench.status("a"), bench.ltime("a")) == ("alive", 5)


def test_of_waiting_intents_the_newest_counts(bench: Any) -> None:
    leave(bench, "a", 5)
    join(bench, "a", 7)
    leave(bench, "a", 6)
    bench.alive("a")
    assert (bench.status("a"), bench.ltime("a")) == ("alive", 7)


def test_a_waiting_intent_is_forgotten_in_time(bench: Any) -> None:
    leave(bench, "a", 5)
    bench.run(330)
    bench.alive("a")
    assert bench.status("a") == "alive"


def test_news_is_passed_on_and_old_news_is_not(bench: Any) -> None:
    bench.alive("a")
    leave(bench, "a", 5)
    assert "a" in resent(bench, SerfType.LEAVE)
    bench.run(20)
    bench.take_sent_serf()
    leave(bench, "a", 5)
    assert "a" not in resent(bench, SerfType.LEAVE)


def test_a_leave_intent_about_this_node_is_contradicted(bench: Any) -> None:
    bench.alive("a")
    leave(bench, "me", 50)
    assert bench.status("me") == "alive"
    bench.run(0.3)
    sent = [(type_, fields.text("Node")) for type_, fields, _ in bench.take_sent_serf()]
    assert (SerfType.JOIN, "me") in sent
    assert (SerfType.LEAVE, "me") not in sent
    assert bench.ltime("me") > 50


def test_pruning_erases_a_member_that_is_gone(bench: Any) -> None:
    bench.alive("a")
    bench.dead("a", "b")
    bench.events()
    leave(bench, "a", 5, prune=True)
    assert bench.status("a") == ""
    assert bench.events() == ["member-leave a", "member-reap a"]


@pytest.mark.parametrize(
    ("prune", "status", "told"), [(False, "left", ["member-leave a"]), (True, "", ["member-leave a", "member-reap a"])]
)
def test_a_failed_member_is_made_to_leave_and_everybody_hears(
    bench: Any, prune: bool, status: str, told: list[str]
) -> None:
    bench.alive("a")
    bench.alive("b")
    bench.dead("a", "b")
    bench.events()
    bench.force_leave("a", prune=prune)
    assert (bench.status("a"), bench.events()) == (status, told)
    bench.run(0.3)
    sent = [(type_, fields.text("Node"), fields.flag("Prune")) for type_, fields, _ in bench.take_sent_serf()]
    assert (SerfType.LEAVE, "a", prune) in sent


@pytest.mark.parametrize("name", ["a", "me"])
def test_who_is_alive_is_not_made_to_leave(bench: Any, name: str) -> None:
    bench.alive("a")
    with pytest.raises(PreconditionError, match="is alive: only a member that failed"):
        bench.force_leave(name, prune=True)
    assert bench.status(name) == "alive"
    assert bench.take_sent_serf() == []


@pytest.mark.parametrize("prune", [False, True])
def test_who_is_leaving_may_be_made_to_leave(bench: Any, prune: bool) -> None:
    bench.alive("a")
    bench.send_serf(SerfType.LEAVE, LTime=3, Node="a")
    assert bench.status("a") == "leaving"
    bench.run(30)
    bench.take_sent_serf()

    bench.force_leave("a", prune=prune)
    bench.run(0.3)
    sent = [(type_, fields.text("Node"), fields.flag("Prune")) for type_, fields, _ in bench.take_sent_serf()]
    assert (SerfType.LEAVE, "a", prune) in sent
    bench.dead("a", "b")
    assert bench.status("a") == ("" if prune else "left")


def test_nobody_is_made_to_leave_who_is_not_there(bench: Any) -> None:
    with pytest.raises(NotFoundError, match="no member 'x'"):
        bench.force_leave("x", prune=False)


def test_a_failed_member_that_returns_joins_again(bench: Any) -> None:
    bench.alive("a")
    bench.dead("a", "b")
    bench.events()
    bench.alive("a", 2)
    assert bench.events() == ["member-join a"]
    assert bench.status("a") == "alive"


def test_a_state_brings_clocks(bench: Any) -> None:
    bench.exchange(state=state(LTime=40, EventLTime=9, QueryLTime=5))
    reply = decode(StreamReader(None).feed(bench.exchange()).state[1:])
    assert [reply.uint(name) for name in ("LTime", "EventLTime", "QueryLTime")] == [40, 9, 5]


def test_a_list_of_departures_may_be_longer_than_any_other_list(bench: Any) -> None:
    bench.alive("a")
    bench.dead("a", "b")
    left = [f"gone-{number}" for number in range(20_000)] + ["a"]
    bench.exchange(state=state(LTime=40, StatusLTimes={"a": 20}, LeftMembers=left))
    assert (bench.status("a"), bench.serf._clock.time) == ("left", 40)
    assert bench.ignored() == []


def test_a_list_of_departures_makes_left_of_failed_and_nothing_else(bench: Any) -> None:
    for name in "abc":
        bench.alive(name)
    bench.dead("a", "c")
    bench.events()
    bench.exchange(state=state(StatusLTimes={"a": 20, "b": 20}, LeftMembers=["a", "b", "d"]))
    assert [bench.status(name) for name in "abcd"] == ["left", "alive", "alive", ""]
    assert bench.events() == ["member-leave a"]
    bench.alive("d")
    assert bench.status("d") == "alive"


def test_a_list_of_an_earlier_departure_leaves_a_later_failure_alone(bench: Any) -> None:
    bench.alive("a")
    join(bench, "a", 30)
    bench.dead("a", "b")
    bench.exchange(state=state(StatusLTimes={"a": 20}, LeftMembers=["a"]))
    assert bench.status("a") == "failed"


def test_a_list_makes_intents_older_than_its_times_no_news(bench: Any) -> None:
    for name in "ab":
        bench.alive(name)
    bench.exchange(state=state(StatusLTimes={"a": 30, "b": 30}))
    leave(bench, "a", 29)
    leave(bench, "b", 30)
    assert (bench.status("a"), bench.status("b")) == ("alive", "leaving")


def test_of_two_intents_with_one_time_the_join_counts_in_either_order(bench: Any) -> None:
    for name in "ab":
        bench.alive(name)
    leave(bench, "a", 9)
    join(bench, "a", 9)
    join(bench, "b", 9)
    leave(bench, "b", 9)
    assert (bench.status("a"), bench.status("b")) == ("alive", "alive")


def test_an_intent_about_this_node_that_it_never_heard_is_contradicted_when_a_list_shows_it(bench: Any) -> None:
    bench.alive("a")
    bench.take_sent_serf()
    bench.exchange(state=state(StatusLTimes={"me": 70}))
    bench.run(0.3)
    sent = [(type_, fields.text("Node")) for type_, fields, _ in bench.take_sent_serf()]
    assert (SerfType.JOIN, "me") in sent
    assert bench.ltime("me") > 70


def test_a_member_that_returns_is_not_leaving_whatever_was_said_before(bench: Any) -> None:
    bench.alive("a")
    leave(bench, "a", 5, prune=True)
    bench.alive("b")
    leave(bench, "b", 5)
    bench.dead("b", "b")
    bench.alive("b", 2)
    assert bench.status("b") == "alive"


def test_pruning_waits_for_a_member_that_is_not_gone_yet(bench: Any) -> None:
    bench.alive("a")
    leave(bench, "a", 5, prune=True)
    assert bench.status("a") == "leaving"
    bench.events()
    bench.dead("a", "b")
    assert bench.status("a") == ""
    assert bench.events() == ["member-leave a", "member-reap a"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"LTime": 2**63 + 5},
        {"EventLTime": 2**63 + 5},
        {"StatusLTimes": {"a": 2**63 + 5, "x" * 600: 3, "b": 21}},
        {"Events": [{"LTime": 2**63 + 5, "Events": [{"Name": "e", "Payload": b""}]}]},
        {"Events": [{"LTime": 3, "Events": [{"Name": 7}]}]},
        {"LeftMembers": 7},
    ],
)
def test_a_part_of_a_state_that_makes_no_sense_costs_itself_alone(bench: Any, wrong: dict[str, Any]) -> None:
    bench.alive("b")
    bench.exchange(state=state(**({"QueryLTime": 9, "StatusLTimes": {"b": 21}} | wrong)))
    assert (bench.ltime("b"), bench.serf._query_clock.time) == (20, 9)
    assert bench.ignored() != []
    assert bench.serf._clock.time < 100


def test_nil_slots_among_the_events_are_none(bench: Any) -> None:
    slot = {"LTime": 3, "Events": [{"Name": "deploy", "Payload": b"42"}]}
    bench.exchange(state=state(EventLTime=4, Events=[None] * 511 + [slot]))
    events = [event for event in bench.serf.events() if isinstance(event, UserEventReceived)]
    assert events == [UserEventReceived(name="deploy", payload=b"42", ltime=3)]


def test_a_user_event_is_reported_once(bench: Any) -> None:
    for ltime in (3, 3, 4):
        bench.send_serf(SerfType.USER_EVENT, LTime=ltime, Name="deploy", Payload=b"42", CC=False)
    events = [event for event in bench.serf.events() if isinstance(event, UserEventReceived)]
    assert [event.ltime for event in events] == [3, 4]


def test_a_user_event_of_long_ago_is_dropped(bench: Any) -> None:
    bench.send_serf(SerfType.USER_EVENT, LTime=1000, Name="new", Payload=b"", CC=False)
    bench.send_serf(SerfType.USER_EVENT, LTime=400, Name="old", Payload=b"", CC=False)
    assert [event.name for event in bench.serf.events() if isinstance(event, UserEventReceived)] == ["new"]


def test_a_failed_member_is_forgotten_after_a_day_and_one_that_left_too(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(config=GossipConfig(reconnect_timeout=100, tombstone_timeout=200))
    for name in "ab":
        bench.alive(name)
    leave(bench, "b", 5)
    bench.dead("a", "me")
    bench.dead("b", "b")
    bench.run(120)
    assert (bench.status("a"), bench.status("b")) == ("", "left")
    bench.run(100)
    assert bench.status("b") == ""
    assert bench.events()[-2:] == ["member-reap a", "member-reap b"]


@pytest.mark.parametrize(
    ("tag", "remembered"),
    [("30s", 30), ("1m30s", 90), ("10m", 600), ("", 200), ("soon", 200), ("5", 200), ("0s", 200), ("-1h", 200)],
)
def test_a_member_says_for_how_long_it_is_remembered_once_it_has_failed(
    make_bench: Callable[..., Any], tag: str, remembered: int
) -> None:
    bench = make_bench(config=GossipConfig(reconnect_timeout=200))
    bench.alive("a", Meta=encode_tags({"rc_tm": tag}))
    bench.dead("a", "b")
    bench.run(remembered - 1)
    assert bench.status("a") == "failed"
    bench.run(17)  # members are looked through every fifteen seconds
    assert bench.status("a") == ""


def test_a_failed_member_is_tried_again(bench: Any) -> None:
    bench.alive("a")
    bench.dead("a", "b")
    bench.serf.streams_to_open()
    bench.run(61)
    assert ("10.0.0.2", 7946) in [stream.address for stream in bench.serf.streams_to_open()]


def test_leaving_says_the_intent_before_the_departure_and_waits_before_it_ends(bench: Any) -> None:
    bench.alive("a")
    bench.run(0.01)
    bench.serf.events()
    bench.leave()
    assert bench.status("me") == "leaving"
    order: list[str] = []
    ended = 0.0
    start = bench.now
    for _ in range(300):
        bench.run(0.01)
        for data, _address in bench.serf.datagrams_to_send():
            if b"\x08\x00" in data:
                order.append("intent")
            if b"\x05\x83" in data:
                order.append("dead")
        if not ended and LeaveFinished() in bench.serf.events():
            ended = bench.now - start
    assert order[0] == "intent"
    assert "dead" in order
    assert 1.0 <= ended <= 2.3


def test_leaving_alone_ends_at_once(bench: Any) -> None:
    bench.leave()
    bench.run(0.0)
    assert LeaveFinished() in bench.serf.events()


def test_while_leaving_nothing_said_about_this_node_is_contradicted_and_pings_are_answered(bench: Any) -> None:
    bench.alive("a")
    bench.leave()
    bench.suspect("me", "a", 5)
    bench.dead("me", "a", 5)
    assert bench.serf._swim.nodes.own.incarnation == 1
    bench.take_sent()
    bench.send(Type.PING, SeqNo=7, Node="me", SourceNode="a")
    assert Type.ACK in [type_ for type_, _, _ in bench.take_sent()]


def test_tags_beyond_the_limit_are_refused(bench: Any) -> None:
    with pytest.raises(MalformedMessageError, match="512"):
        bench.set_tags({"long": "x" * 600})
    assert bench.serf.tags == {"role": "test"}


def test_names_and_tags_that_are_not_text_are_shown_as_escapes(bench: Any) -> None:
    bench.alive("a\udcff", Addr=bytes((10, 0, 0, 2)), Meta=b"\xff\x81\xa1k\xa2\xfe!")
    (member,) = [member for member in bench.serf.members() if member.name != "me"]
    assert (member.name, dict(member.tags)) == ("a\\xff", {"k": "\\xfe!"})
    bench.exchange()


def test_of_an_old_agent_the_meta_is_its_role(bench: Any) -> None:
    bench.alive("a", Meta=b"web")
    assert {member.name: member.tags for member in bench.serf.members()}["a"] == {"role": "web"}


@pytest.mark.parametrize("ltime", [2**34, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_time_that_nobody_counted_to_is_neither_believed_nor_passed_on(bench: Any, ltime: int) -> None:
    bench.alive("a")
    leave(bench, "a", ltime)
    leave(bench, "not here yet", ltime)
    for _ in range(3):
        bench.exchange(state=state(StatusLTimes={"a": ltime, "me": ltime}, LeftMembers=["a"], LTime=ltime))
    assert (bench.status("a"), bench.ltime("a"), bench.serf._clock.time < 100) == ("alive", 0, True)
    assert resent(bench, SerfType.LEAVE) == []
    bench.leave()
    assert bench.exchange() is not None


def test_a_user_event_that_fits_no_packet_is_reported_here_and_counted(bench: Any) -> None:
    bench.alive("a")
    bench.send_serf(SerfType.USER_EVENT, LTime=3, Name="deploy", Payload=b"x" * 1400, CC=False)
    events = bench.serf.events()
    assert [len(event.payload) for event in events if isinstance(event, UserEventReceived)] == [1400]
    assert any("fits no packet" in event.reason for event in events if isinstance(event, Ignored))
    assert not bench.serf.has_broadcasts()


def test_a_full_table_makes_room_by_forgetting_who_is_gone_longest(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(config=GossipConfig(max_nodes=4))
    for name in "abc":
        bench.alive(name)
    bench.dead("a", "b")
    bench.run(1.0)
    bench.dead("b", "c")
    bench.run(70)  # the failure detector has let go of both
    bench.events()
    bench.alive("d")
    assert bench.events() == ["member-reap a", "member-join d"]
