"""The dashboard as one immutable value and one pure function: ``reduce(state, change) -> state``.

::

                 SnapshotArrived                    Paused, Stepped(-1)
    connecting ------------------> live   showing now ----------------> showing frame i
         |                        |   ^        ^                          |
         | ConnectionLost         v   |        '------- Resumed, ---------'
         '-----------------> reconnecting          Stepped past the end

While its agent is gone, another member may speak in its place: then the dashboard is live, with a ``stand_in``. Beside
the one that speaks, all other members say what they hold themselves (``others``); of the past only the first is kept.

Nothing here knows Textual, sockets or clocks: changes carry the time. A pause freezes what is shown, never what is
collected, and an agent that is gone leaves its last word on the screen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from proglog.observe.frame import Frame
from proglog.observe.health import Finding, Severity, findings, own_findings
from proglog.observe.history import FRAME_SECONDS, capacity, shared
from proglog.wire.model import ClusterSnapshot

MAX_OTHERS = 64
"""Members whose own word is kept, beside that of the one that is watched."""
SILENT_SECONDS = 3.0
"""An agent speaks once a second at least: one that has not for so long hangs, or cannot be heard."""
FIRST_HAND_SECONDS = 30.0
"""How long a member's word counts as its present: above the longest interval at which the others are asked."""


SPEEDS = (1, 4, 16)


class Phase(StrEnum):
    """The dashboard's connection to its agent."""

    CONNECTING = "connecting"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    RECORDED = "recorded"
    """What is shown comes from a file: nothing will ever arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DashState:
    """Everything that the dashboard shows."""

    target: str
    """Address that it was asked to watch."""
    now: float
    """Seconds since 1970, as of the last change."""
    phase: Phase = Phase.CONNECTING
    attempt: int = 0
    """Failed attempts since the last contact."""
    retry_at: float = 0.0
    """When the next attempt starts."""
    error: str = ""
    """Why the last attempt failed. Foreign text."""
    latest: ClusterSnapshot | None = None
    received_at: float = 0.0
    """When ``latest`` arrived; meaningless without one."""
    frames: tuple[Frame, ...] = ()
    frame_index: int | None = None
    """Frame that is shown; ``None``: the latest snapshot."""
    speed: int = 1
    """Frames that one tick plays."""
    playing: bool = False
    """Whether each tick shows the next frame of a recording."""
    raised: frozenset[str] = frozenset()
    """Keys of the alerts that the latest snapshot raised: limits have hysteresis."""
    home: str = ""
    """Name of the agent at ``target``, once it has spoken. Foreign text."""
    stand_in: str = ""
    """Address of the member that speaks in its place; empty: it speaks itself."""
    others: Mapping[str, tuple[ClusterSnapshot, float]] = field(default_factory=dict)
    """What each other member said last of itself and its log, by name, and when that arrived."""

    @property
    def paused(self) -> bool:
        """Whether an earlier moment is shown."""
        return self.frame_index is not None

    @property
    def recorded(self) -> bool:
        """Whether what is shown comes from a file."""
        return self.phase is Phase.RECORDED

    @property
    def shown(self) -> ClusterSnapshot | None:
        """The snapshot on the screen."""
        return self.latest if self.frame_index is None else self.frames[self.frame_index].snapshot

    @property
    def shown_frames(self) -> tuple[Frame, ...]:
        """The frames up to the moment on the screen."""
        return self.frames if self.frame_index is None else self.frames[: self.frame_index + 1]

    @property
    def shown_at(self) -> float:
        """The moment on the screen, on the dashboard's clock."""
        return self.now if self.frame_index is None else self.frames[self.frame_index].at

    @property
    def agent_now_ms(self) -> int:
        """The agent's clock at the moment on the screen: ages are not computed across two clocks."""
        if self.frame_index is not None:
            return self.frames[self.frame_index].agent_ms
        if self.latest is None:
            return round(self.now * 1000)
        return self.latest.taken_at_ms + round((self.now - self.received_at) * 1000)

    @property
    def stale(self) -> bool:
        """Whether the screen shows the past because the agent is silent."""
        if self.frame_index is not None:
            return not self.frames[self.frame_index].live
        lost = self.phase in {Phase.CONNECTING, Phase.RECONNECTING}
        return self.latest is not None and (lost or self.silent)

    @property
    def silent(self) -> bool:
        """Whether the connection is open and nothing arrives: an agent that hangs, before the connection is given up."""
        return self.phase is Phase.LIVE and self.now - self.received_at > SILENT_SECONDS

    def first_hand(self, name: str) -> ClusterSnapshot | None:
        """Return what a member itself says at the moment on the screen; ``None``: it is known from others alone."""
        if self.shown is not None and self.shown.node.name == name:
            return None if self.stale else self.shown
        snapshot, at = self.others.get(name, (None, 0.0))
        fresh = self.frame_index is None and self.now - at < FIRST_HAND_SECONDS
        return snapshot if fresh else None

    @property
    def alerts(self) -> tuple[Finding, ...]:
        """What needs attention at the moment on the screen, the worst first."""
        if self.shown is None:
            return ()
        raised = self.raised if self.frame_index is None else frozenset()
        found = (*self._unreachable(), *findings(self.shown, self.agent_now_ms, raised=raised), *self._others_say())
        return tuple(sorted(found, key=lambda alert: -alert.severity))

    @property
    def alerts_now(self) -> tuple[Finding, ...]:
        """What needs attention at the present, whatever moment is on the screen."""
        return replace(self, frame_index=None).alerts if self.paused and not self.recorded else self.alerts

    def _others_say(self) -> tuple[Finding, ...]:
        """Return what the other members' own words say of their logs, disks and certificates."""
        heard = (self.first_hand(name) for name in sorted(self.others))
        shown = self.shown.node.name if self.shown else ""
        return tuple(
            alert for own in heard if own is not None and own.node.name != shown for alert in own_findings(own)
        )

    def _unreachable(self) -> tuple[Finding, ...]:
        """Return the alert that all others are as old as the last contact."""
        if self.frame_index is not None:
            return ()
        if self.stand_in and not self.stale:
            return (self._replaced(),)
        return (self._silent(),) if self.stale else ()

    def _replaced(self) -> Finding:
        return Finding(
            key="unreachable",
            severity=Severity.WARNING,
            subject=self.home or self.target,
            cause=f"does not answer: {self.error or 'no reason known'}",
            advice=f"{self.shown.node.name if self.shown else self.stand_in} is watched instead, until it is back.",
        )

    def _silent(self) -> Finding:
        return Finding(
            key="unreachable",
            severity=Severity.CRITICAL,
            subject=self.shown.node.name if self.shown else self.target,
            cause="says nothing any more" if self.silent else f"does not answer: {self.error or 'no reason known'}",
            advice="What is shown is its last word. It and other members are tried by themselves; o chooses one.",
        )


@dataclass(frozen=True, slots=True)
class SnapshotArrived:
    """The agent answered, or its stand-in did."""

    snapshot: ClusterSnapshot
    at: float
    stand_in: str = ""
    """Address of the member that speaks in the agent's place; empty: the agent itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLost:
    """An attempt to reach the agent failed, or the stream ended."""

    at: float
    attempt: int
    retry_in: float
    """Seconds until the next attempt."""
    error: str
    stand_in: str = ""
    """Address of the member that was lost in the agent's place; empty: the agent itself."""


@dataclass(frozen=True, slots=True)
class MemberReported:
    """A member beside the watched one told what it holds."""

    name: str
    snapshot: ClusterSnapshot
    at: float


@dataclass(frozen=True, slots=True)
class Recalled:
    """The agent's own memory of what was before it was watched: snapshots in order, all older than the first frame."""

    snapshots: tuple[ClusterSnapshot, ...]


@dataclass(frozen=True, slots=True)
class Sought:
    """Show a frame."""

    frame_index: int


@dataclass(frozen=True, slots=True)
class Sped:
    """Play a recording faster: 4 and 16 seconds in one, and again 1."""


@dataclass(frozen=True, slots=True)
class MemberLost:
    """A member beside the watched one does not answer, or is none any more."""

    name: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by."""

    at: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """A recording takes the place of an agent."""

    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Retargeted:
    """Another agent is watched from now on: what was known of the first is forgotten."""

    target: str
    at: float


@dataclass(frozen=True, slots=True)
class Paused:
    """Hold the screen: at the newest frame, or where a recording is."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Show the present again; of a recording, play on."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """Walk through the frames; a step past the newest one resumes."""

    frames: int


Change = (
    SnapshotArrived
    | ConnectionLost
    | MemberReported
    | MemberLost
    | Tick
    | Loaded
    | Retargeted
    | Recalled
    | Sought
    | Sped
    | Paused
    | Resumed
    | Stepped
)


def reduce(state: DashState, change: Change) -> DashState:
    """Return the state after ``change``."""
    match change:
        case SnapshotArrived():
            return _arrived(state, change)
        case ConnectionLost():
            return _lost(state, change)
        case MemberReported():
            return _heard(state, change)
        case MemberLost():
            left = {name: heard for name, heard in state.others.items() if name != change.name}
            return replace(state, others=left)
        case Tick():
            return _ticked(replace(state, now=change.at))
        case Loaded():
            return _loaded(state, change.frames)
        case Retargeted():
            return DashState(target=change.target, now=change.at)
        case Paused():
            return replace(state, playing=False) if state.recorded else _held(state)
        case Resumed():
            return _played(state) if state.recorded else replace(state, frame_index=None)
        case Recalled():
            return _recalled(state, change.snapshots)
        case Sought():
            newest = len(state.frames) - 1
            return replace(state, frame_index=min(max(change.frame_index, 0), newest)) if state.frames else state
        case Sped():
            return replace(state, speed=SPEEDS[(SPEEDS.index(state.speed) + 1) % len(SPEEDS)])
        case Stepped():
            return _stepped(state, change.frames)
        case _:
            assert_never(change)


def _arrived(state: DashState, change: SnapshotArrived) -> DashState:
    snapshot = shared(_with_members(change.snapshot, state.latest), state.latest)
    return _sampled(
        replace(
            state,
            now=change.at,
            phase=Phase.LIVE,
            attempt=state.attempt if change.stand_in else 0,
            error=state.error if change.stand_in else "",
            home=state.home if change.stand_in else snapshot.node.name,
            stand_in=change.stand_in,
            latest=snapshot,
            received_at=change.at,
            raised=frozenset(alert.key for alert in findings(snapshot, raised=state.raised)),
        )
    )


def _with_members(snapshot: ClusterSnapshot, before: ClusterSnapshot | None) -> ClusterSnapshot:
    """Return ``snapshot`` with the members known before, if it has none.

    An agent that runs is its own first member. One that stops leaves the cluster before its server closes: its last
    words would empty the screen just when the others are worth seeing.
    """
    if snapshot.members or before is None:
        return snapshot
    return replace(snapshot, members=before.members, peers=before.peers)


def _heard(state: DashState, change: MemberReported) -> DashState:
    """Keep a member's word, without what it says of others: sixty-four whole snapshots would be large."""
    before, _ = state.others.get(change.name, (None, 0.0))
    if before is None and len(state.others) >= MAX_OTHERS:
        return state
    own = shared(replace(change.snapshot, peers=(), segments=(), events=()), before)
    return replace(state, now=max(state.now, change.at), others={**state.others, change.name: (own, change.at)})


def _lost(state: DashState, change: ConnectionLost) -> DashState:
    if change.stand_in:
        lost = state.stand_in == change.stand_in
        return replace(state, now=change.at, phase=Phase.RECONNECTING) if lost else state
    return replace(
        state,
        now=change.at,
        phase=state.phase if state.stand_in else Phase.RECONNECTING,
        attempt=change.attempt,
        retry_at=change.at + change.retry_in,
        error=change.error,
    )


def _ticked(state: DashState) -> DashState:
    """Add a frame, or play one."""
    if not state.recorded:
        return _sampled(state)
    return _stepped(state, state.speed) if state.playing else state


def _sampled(state: DashState) -> DashState:
    """Add a frame when the last one is a second old."""
    if state.latest is None:
        return state
    if state.frames and state.now - state.frames[-1].at < FRAME_SECONDS * 0.95:
        return state
    frame = Frame.of(state.latest, at=state.now, live=state.phase is Phase.LIVE and not state.silent)
    frames = (*state.frames, frame)[-capacity(state.latest) :]
    dropped = len(state.frames) + 1 - len(frames)
    frame_index = None if state.frame_index is None else max(state.frame_index - dropped, 0)
    return replace(state, frames=frames, frame_index=frame_index)


def _recalled(state: DashState, snapshots: tuple[ClusterSnapshot, ...]) -> DashState:
    """Put the agent's own frames before those that were seen, as far as they are older and there is room."""
    if not state.frames or state.recorded or state.stand_in:
        return state
    first = state.frames[0]
    room = capacity(state.latest) - len(state.frames)
    older = [each for each in snapshots if each.taken_at_ms < first.agent_ms - FRAME_SECONDS * 500]
    older = [each for each in older if each.node.name == first.outline.node.name][-room:] if room > 0 else []
    made: list[Frame] = []
    before: ClusterSnapshot | None = None
    for each in older:
        before = shared(each, before)
        made.append(Frame.of(before, at=first.at - (first.agent_ms - each.taken_at_ms) / 1000, live=True))
    moved = None if state.frame_index is None else state.frame_index + len(made)
    return replace(state, frames=(*made, *state.frames), frame_index=moved)


def _loaded(state: DashState, frames: tuple[Frame, ...]) -> DashState:
    if not frames:
        return replace(state, phase=Phase.RECORDED)
    latest = frames[-1]
    return replace(
        state,
        phase=Phase.RECORDED,
        frames=frames,
        frame_index=0,
        playing=True,
        latest=latest.snapshot,
        received_at=latest.at,
    )


def _held(state: DashState) -> DashState:
    return replace(state, frame_index=len(state.frames) - 1) if state.frames else state


def _played(state: DashState) -> DashState:
    """Play a recording on, from its start when it is at its end."""
    at_end = state.frame_index is None or state.frame_index == len(state.frames) - 1
    return replace(state, playing=bool(state.frames), frame_index=0 if at_end and state.frames else state.frame_index)


def _stepped(state: DashState, by: int) -> DashState:
    if not state.frames:
        return state
    newest = len(state.frames) - 1
    start = newest if state.frame_index is None else state.frame_index
    if start + by > newest:
        return replace(state, frame_index=newest, playing=False) if state.recorded else replace(state, frame_index=None)
    return replace(state, frame_index=max(start + by, 0))
