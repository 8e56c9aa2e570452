"""The reducer: every event, without a terminal."""

from dataclasses import replace
from itertools import pairwise
from math import isnan

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proglog.observe.health import Severity
from proglog.observe.history import CAPACITY, appended, rates
from proglog.tui.state import (
    FIRST_HAND_SECONDS,
    MAX_OTHERS,
    SILENT_SECONDS,
    ConnectionLost,
    DashState,
    Loaded,
    MemberLost,
    MemberReported,
    Paused,
    Phase,
    Resumed,
    Retargeted,
    SnapshotArrived,
    Stepped,
    Tick,
    reduce,
)
from proglog.wire.model import PeerState

START = 1_790_000_000.0


@pytest.fixture
def live(world):
    """Returns a state after ``seconds`` of a live cluster."""

    def run(seconds: int) -> DashState:
        state = DashState(target="x", now=START)
        for _ in range(seconds):
            world.second += 1
            state = reduce(state, SnapshotArrived(world.snapshot(), START + world.second))
        return state

    return run


def _lost(state: DashState, at: float) -> DashState:
    return reduce(state, ConnectionLost(at=at, attempt=3, retry_in=2.0, error="refused"))


def test_it_starts_connecting_with_nothing_to_show():
    state = DashState(target="x", now=START)
    assert (state.phase, state.shown, state.alerts, state.stale) == (Phase.CONNECTING, None, (), False)


def test_a_snapshot_makes_it_live(live):
    state = live(1)
    assert state.phase is Phase.LIVE
    assert state.shown is state.latest
    assert len(state.frames) == 1


def test_frames_are_a_second_apart_however_many_snapshots_come(live, world):
    state = live(1)
    for tenth in range(1, 31):
        state = reduce(state, SnapshotArrived(world.snapshot(), START + 1 + tenth / 10))
    assert [round(frame.at - START, 1) for frame in state.frames] == [1.0, 2.0, 3.0, 4.0]


def test_a_quiet_agent_still_gets_frames(live):
    state = live(1)
    for second in range(2, 5):
        state = reduce(state, Tick(START + second))
    assert len(state.frames) == 4
    assert all(frame.live for frame in state.frames)


def test_an_agent_that_says_nothing_any_more_is_stale_though_its_connection_is_open(live, world):
    state = reduce(live(3), Tick(START + 3 + SILENT_SECONDS))
    assert not state.stale
    state = reduce(state, Tick(START + 3.1 + SILENT_SECONDS))
    assert (state.phase, state.silent, state.stale, state.frames[-1].live) == (Phase.LIVE, True, True, True)
    assert (state.alerts[0].key, state.alerts[0].cause) == ("unreachable", "says nothing any more")
    state = reduce(state, Tick(START + 4.1 + SILENT_SECONDS))
    assert not state.frames[-1].live
    state = reduce(state, SnapshotArrived(world.snapshot(), START + 8))
    assert (state.silent, state.stale, state.alerts) == (False, False, ())


def test_a_lost_agent_is_stale_and_stays_on_the_screen(live):
    state = _lost(live(3), START + 4)
    assert state.phase is Phase.RECONNECTING
    assert state.stale
    assert state.shown is not None
    assert state.alerts[0].key == "unreachable"
    state = reduce(state, Tick(START + 6))
    assert not state.frames[-1].live


def test_a_snapshot_ends_the_outage(live, world):
    state = _lost(live(3), START + 4)
    state = reduce(state, SnapshotArrived(world.snapshot(), START + 5))
    assert (state.phase, state.attempt, state.error, state.stale, state.alerts) == (Phase.LIVE, 0, "", False, ())


def test_an_agent_that_stops_does_not_take_its_members_off_the_screen(live, world):
    state = live(3)
    stopping = replace(world.snapshot(), members=(), peers=())
    state = _lost(reduce(state, SnapshotArrived(stopping, START + 4)), START + 5)
    assert [member.name for member in state.shown.members] == ["node-a", "node-b", "node-c"]
    assert [peer.name for peer in state.shown.peers] == ["node-b", "node-c"]


def test_an_outage_before_the_first_word_shows_nothing_stale():
    state = _lost(DashState(target="x", now=START), START + 1)
    assert state.shown is None
    assert not state.stale


def test_a_pause_freezes_what_is_shown_but_not_what_is_collected(live, world):
    state = reduce(live(5), Paused())
    shown = state.shown
    world.second += 1
    state = reduce(state, SnapshotArrived(world.snapshot(), START + 6))
    assert state.shown is shown
    assert len(state.frames) == 6
    assert reduce(state, Resumed()).shown is state.latest


def test_steps_walk_back_and_past_the_end_is_the_present(live):
    state = reduce(live(5), Stepped(-2))
    assert state.shown_at == START + 3
    assert len(state.shown_frames) == 3
    assert reduce(state, Stepped(-99)).shown_at == START + 1
    assert reduce(state, Stepped(1)).shown_at == START + 4
    assert not reduce(state, Stepped(3)).paused


def test_a_pause_without_history_does_nothing():
    state = DashState(target="x", now=START)
    assert reduce(reduce(state, Paused()), Stepped(-1)) == state


def test_history_is_bounded_and_a_pause_stays_on_its_moment(live):
    state = reduce(live(5), Stepped(-1))
    at = state.shown_at
    for second in range(6, CAPACITY + 3):
        state = reduce(state, Tick(START + second))
    assert len(state.frames) == CAPACITY
    assert state.shown_at == at
    for second in range(CAPACITY + 3, CAPACITY + 20):
        state = reduce(state, Tick(START + second))
    assert state.shown_at == state.frames[0].at


def test_frames_share_what_did_not_change(live):
    state = live(3)
    first, second = state.frames[0].snapshot, state.frames[1].snapshot
    assert first.node is second.node
    assert first.events is second.events


def test_ages_are_those_of_the_agents_clock(live, world):
    skewed = replace(world.snapshot(), taken_at_ms=5_000)
    state = reduce(live(1), SnapshotArrived(skewed, START + 2))
    assert reduce(state, Tick(START + 4)).agent_now_ms == 7_000


def test_a_lag_alert_has_hysteresis(live, world):
    state = live(1)
    keys = []
    for lag in (9_000, 10_001, 9_000, 7_000, 9_000):
        world.lag["node-b"] = lag
        world.second += 1
        snapshot = world.snapshot()
        peer = replace(snapshot.peers[0], state=PeerState.STREAMING)
        origins = tuple(replace(origin, lag_ms=3_000) for origin in peer.origins)
        snapshot = replace(snapshot, peers=(replace(peer, origins=origins),))
        state = reduce(state, SnapshotArrived(snapshot, START + world.second))
        keys.append(len(state.alerts))
    assert keys == [0, 1, 1, 0, 0]


def test_a_recording_starts_at_its_first_frame_and_never_goes_live(live):
    frames = live(5).frames
    state = reduce(DashState(target="file", now=START + 900), Loaded(frames))
    assert (state.phase, state.frame_index, state.shown_at) == (Phase.RECORDED, 0, START + 1)
    state = reduce(state, Stepped(99))
    assert state.shown_at == START + 5
    assert reduce(state, Resumed()).paused
    assert len(reduce(state, Tick(START + 901)).frames) == 5


def test_an_empty_recording_shows_nothing():
    assert reduce(DashState(target="file", now=START), Loaded(())).shown is None


EVENTS = st.one_of(
    st.builds(Stepped, st.integers(-700, 700)),
    st.just(Paused()),
    st.just(Resumed()),
    st.builds(lambda step: ("tick", step), st.floats(0, 5)),
    st.builds(lambda step: ("snapshot", step), st.floats(0, 5)),
    st.builds(lambda step: ("lost", step), st.floats(0, 5)),
    st.just("loaded"),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(EVENTS, max_size=40))
def test_no_order_of_events_breaks_the_state(world, moves):
    snapshot = world.snapshot()
    state, now = DashState(target="x", now=START), START
    for move in moves:
        if isinstance(move, tuple):
            kind, step = move
            now += step
            lost = ConnectionLost(at=now, attempt=1, retry_in=1.0, error="")
            event = {"tick": Tick(now), "snapshot": SnapshotArrived(snapshot, now), "lost": lost}[kind]
        else:
            event = Loaded(state.frames) if move == "loaded" else move
        state = reduce(state, event)
        assert len(state.frames) <= CAPACITY
        assert state.frame_index is None or 0 <= state.frame_index < len(state.frames)
        assert state.shown is None or state.shown_frames is not None
        assert all(before.at <= after.at for before, after in pairwise(state.frames))
        assert state.alerts is not None
        assert state.agent_now_ms > 0


def _stood_in(state: DashState, world, at: float) -> DashState:
    """Lets node-b speak in the place of node-a."""
    snapshot = replace(world.snapshot(), node=replace(world.snapshot().node, name="node-b"))
    return reduce(state, SnapshotArrived(snapshot, at, stand_in="10.0.0.2:8400"))


def test_a_stand_in_is_live_and_says_for_whom_it_speaks(live, world):
    state = _stood_in(_lost(live(3), START + 4), world, START + 6)
    assert (state.phase, state.stale, state.home, state.stand_in) == (Phase.LIVE, False, "node-a", "10.0.0.2:8400")
    assert (state.shown.node.name, state.error) == ("node-b", "refused")
    assert [(alert.key, alert.severity, alert.subject) for alert in state.alerts[:1]] == [
        ("unreachable", Severity.WARNING, "node-a")
    ]


def test_tries_of_the_agent_do_not_make_its_stand_in_stale(live, world):
    state = _lost(_stood_in(_lost(live(3), START + 4), world, START + 6), START + 7)
    assert (state.phase, state.stale, state.attempt) == (Phase.LIVE, False, 3)


def test_the_agents_own_word_ends_the_stand_in(live, world):
    state = _stood_in(_lost(live(3), START + 4), world, START + 6)
    state = reduce(state, SnapshotArrived(world.snapshot(), START + 8))
    assert (state.stand_in, state.shown.node.name, state.error, state.alerts) == ("", "node-a", "", ())


def test_a_stand_in_that_is_lost_leaves_its_word_stale(live, world):
    state = _stood_in(_lost(live(3), START + 4), world, START + 6)
    lost = ConnectionLost(at=START + 7, attempt=0, retry_in=0.2, error="", stand_in="10.0.0.2:8400")
    assert reduce(state, lost).stale
    assert not reduce(reduce(state, SnapshotArrived(world.snapshot(), START + 8)), lost).stale


def test_a_change_of_speakers_is_no_burst_of_records(live, world):
    state = live(5)
    other = replace(
        world.snapshot(),
        node=replace(world.snapshot().node, name="node-b", origin=bytes(16)),
        log=replace(world.snapshot().log, records_appended=10**9),
    )
    state = reduce(state, SnapshotArrived(other, START + 6, stand_in="10.0.0.2:8400"))
    assert isnan(rates(state.frames, appended)[-1])


def _other(world, name: str):
    snapshot = world.snapshot()
    return replace(snapshot, node=replace(snapshot.node, name=name))


def test_each_member_speaks_for_itself_until_it_is_lost_or_silent(live, world):
    state = reduce(live(3), MemberReported("node-b", _other(world, "node-b"), START + 3))
    assert state.first_hand("node-a") is state.shown
    assert state.first_hand("node-b").node.name == "node-b"
    assert state.first_hand("node-c") is None
    assert reduce(state, MemberLost("node-b")).first_hand("node-b") is None
    assert reduce(state, Tick(START + 3 + FIRST_HAND_SECONDS)).first_hand("node-b") is None


def test_of_the_past_only_the_watched_agents_word_is_known(live, world):
    state = reduce(live(3), MemberReported("node-b", _other(world, "node-b"), START + 3))
    assert reduce(state, Paused()).first_hand("node-b") is None


def test_what_members_say_of_others_is_not_kept_nor_more_members_than_the_bound(live, world):
    state = live(1)
    for index in range(MAX_OTHERS + 5):
        state = reduce(state, MemberReported(f"m{index}", _other(world, f"m{index}"), START + 1))
    assert len(state.others) == MAX_OTHERS
    assert all((other.peers, other.segments, other.events) == ((), (), ()) for other, _ in state.others.values())
    assert reduce(state, Retargeted("y", START + 2)).others == {}
