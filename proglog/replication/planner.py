"""Who fetches what from whom: a pure state machine between peers' positions and what this log holds.

Each origin has one *source* at a time: the origin's own node while its stream is open, else whoever reaches farthest.
The source pushes; a batch is taken only if it is the very next one::

    batch of an origin        verdict
    ------------------        -------
    this node's own           DROP
    before what is expected   DROP; all that is dropped is counted
    the next                  APPEND
    after it                  HOLE: the source is set aside for this origin, the next best one is asked
    across it                 FORK: batches have the same bounds everywhere, so somebody's history is another
    a gap                     HOLE, too: what it stands for may be had from somebody else

    origin
               a peer has it                    refused, stalled, stream broke
      IDLE ------------------> FETCHING(source) ------------------------------> FETCHING(next best)
                                 |      ^                                         | nobody left
                                 |      | retried after aside_timeout             v
                  chains differ  |      +---------------------------------- STUCK(since)
                                 v                                                | nobody can have it: see holes.py
                              FORKED (kept as it is, alarm)                       v
                                                           FETCHING after the gap: APPEND_AFTER_GAP, notice

A log may have met a hundred thousand origins. So what happens is looked at for the origins that it is about, never for
all of them: asked for are the peers' own origins, which are where news comes from, and what this log trails in, the
rest in portions. One that has become level stays asked for until its place is needed::

    waiting --> fetching --> resting        room for MAX_FETCHES besides the peers' own;
                   ^            |           who waits takes the place of what has rested longest
                   +-- a peer --+
                       has more

Rules 1, 4, 6 and 7 of docs/concepts/replication.md live here; the log holds to the first and the last by itself, too.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from proglog.record.batch import BatchHeader
from proglog.replication.holes import Holes, Others, Wait
from proglog.replication.lag import LEVEL, Lag, LagMeter, records_behind
from proglog.replication.progress import FIRST_SEQUENCE, Progress, Refusal, RefusalKind
from proglog.replication.sources import NOWHERE, Sources, next_of
from proglog.types import OriginId, SequenceNumber

MAX_FETCHES = 1024
"""Origins that are asked for at a time, besides the own ones of peers."""


class Decision(Enum):
    """What to do with a batch that a peer sent."""

    APPEND = "append"
    APPEND_AFTER_GAP = "append after a gap batch"
    DROP = "drop"
    HOLE = "hole"
    FORK = "fork"


@dataclass(frozen=True, slots=True)
class Want:
    """Ask ``peer`` for ``origin`` from ``next_sequence`` on."""

    peer: str
    origin: OriginId
    next_sequence: SequenceNumber
    chain_crc: int


@dataclass(frozen=True, slots=True)
class Unwant:
    """Tell ``peer`` to stop sending ``origin``."""

    peer: str
    origin: OriginId


@dataclass(frozen=True, slots=True)
class Notice:
    """Something an operator should know; kinds are telemetry's."""

    kind: str
    peer: str
    origin: OriginId
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the planner waits for what. Seconds."""

    stall_timeout: float = 2.0
    """Without a batch, while somebody else has one: then the source is set aside."""
    aside_timeout: float = 10.0
    """How long a source that stalled or refused is not asked again."""
    gap_timeout: float | None = 30.0
    """After everybody refused who may have it: then a gap batch is written, and the log goes on after it. ``None``: never."""


@dataclass(slots=True)
class _Fetch:
    """One origin under way."""

    source: str
    expected: SequenceNumber
    """The next sequence to take, counting what is taken but not yet durable."""
    moved_at: float
    """When something last came, or was asked for."""
    after_gap: bool = False
    """What comes first follows a gap."""


class Planner:
    """Feed it what happened, then drain ``commands()`` and ``notices()``. Time is seconds on any monotonic clock."""

    def __init__(
        self,
        local_origin: OriginId,
        held: Mapping[OriginId, Progress],
        patience: Patience | None = None,
        others: Others = dict,
    ) -> None:
        """Start with what the log durably holds.

        Args:
            local_origin: Never fetched: this node is its only writer.
            held: Positions of the log, by origin.
            patience: Time limits.
            others: Who else there is: see :mod:`proglog.replication.holes`.
        """
        self.local_origin = local_origin
        self.dropped: dict[str, int] = {}
        """Batches that were not needed, by peer."""
        self._held = dict(held)
        self._patience = patience or Patience()
        self._sources = Sources()
        self._holes = Holes(
            self._sources,
            others,
            stall_timeout=self._patience.stall_timeout,
            gap_timeout=self._patience.gap_timeout,
        )
        self._fetches: dict[OriginId, _Fetch] = {}
        self._resting: OrderedDict[OriginId, None] = OrderedDict()
        """Those of them in which nobody reaches farther, and that nobody here writes; the longest first."""
        self._waiting: OrderedDict[OriginId, None] = OrderedDict()
        """What is to be fetched when there is room."""
        self._forked: dict[OriginId, str] = {}
        self._passed_over: dict[OriginId, tuple[SequenceNumber, SequenceNumber]] = {}
        """What retention had removed everywhere, so that it was passed over without an alarm."""
        self._meters: dict[OriginId, dict[str, LagMeter]] = {}
        """By origin and peer, of those that this log trails in."""
        self._deadline = _NEVER
        """No later than the first moment at which :meth:`handle_timer` has something to do."""
        self._commands: list[Want | Unwant] = []
        self._notices: list[Notice] = []

    # What happened

    def stream_opened(self, peer: str, origin: OriginId, now: float) -> None:
        """A stream from ``peer``, whose own origin is ``origin``, is open."""
        affected = self._forget(peer)
        self._sources.open(peer, origin, now)
        self._plan([*affected, origin], now)

    def stream_closed(self, peer: str, now: float) -> None:
        """The stream from ``peer`` broke, or was closed. What its lag began with is remembered: see :meth:`peer_left`."""
        self._plan(self._forget(peer), now)

    def peer_left(self, peer: str) -> None:
        """``peer`` is followed no more: how long this log had trailed it is of no interest."""
        for origin in list(self._meters):
            self._drop_meter(peer, origin)

    def positions_received(self, peer: str, positions: Iterable[Progress], now: float) -> None:
        """``peer`` said how far its log reaches in some origins."""
        if peer not in self._sources.peers:
            return
        positions = tuple(positions)
        for position in positions:
            self._heard(peer, position, now)
            self._compare(peer, position, now)
            self._look_back(peer, position)
        self._plan([position.origin for position in positions], now)

    def refused_by(self, peer: str, event: Refusal, now: float) -> None:
        """``peer`` said that it cannot go on with an origin."""
        if peer not in self._sources.peers:
            return
        if event.kind is RefusalKind.FORKED:
            self.forked(peer, event.origin, now, f"the histories part at or before sequence {event.sequence}")
            return
        self._sources.peers[peer].sent_at = now
        self._sources.refuse(peer, event.origin, event.sequence)
        self.set_aside(peer, event.origin, now, event.kind.value)

    def advanced(self, positions: Iterable[Progress], now: float) -> None:
        """The log durably holds this much of some origins now."""
        moved = {each.origin: each for each in positions if self._held.get(each.origin) != each}
        self._held |= moved
        for origin, position in moved.items():
            for peer, meter in list(self._meters.get(origin, {}).items()):
                meter.here(position, now)
                if meter.behind_since is None:
                    self._drop_meter(peer, origin)
            self._rest(origin)
            self._mind(origin, now)
        self._fill(now)

    def local_origin_changed(self, origin: OriginId, now: float) -> None:
        """This log writes under ``origin`` from now on; what it wrote before is fetched like anybody's, if it agrees."""
        before, self.local_origin = self.local_origin, origin
        for name, peer in self._sources.peers.items():
            for each in before, origin:
                if each in peer.positions:
                    self._compare(name, peer.positions[each], now)
        self._plan([before, origin], now)

    def judge(self, peer: str, header: BatchHeader, now: float) -> Decision:
        """Say what to do with a batch that ``peer`` sent; both kinds of ``APPEND`` count on it being appended."""
        origin = header.origin
        if peer in self._sources.peers:
            self._sources.peers[peer].sent_at = now
        fetch = self._fetches.get(origin)
        if fetch is None or fetch.source != peer or header.next_sequence <= fetch.expected:
            return self._drop(peer, header)  # held, or its source was asked before its place was taken
        if header.is_gap:
            # A gap is as good as a refusal: what it stands for may be had from somebody else.
            return self._hole(peer, header, header.next_sequence, now, "it has a gap there itself")
        if header.base_sequence > fetch.expected:
            return self._hole(peer, header, header.base_sequence, now, f"it left out {_span(fetch.expected, header)}")
        if header.base_sequence < fetch.expected:
            self.forked(peer, origin, now, f"its batch at {header.base_sequence} overlaps sequence {fetch.expected}")
            return Decision.FORK
        return self._take(peer, header, fetch, now)

    def append_failed(self, origin: OriginId, now: float) -> None:
        """The log did not take a batch that was to be appended: ask again from what it holds."""
        self._drop_fetch(origin)
        self._plan([origin], now)

    def set_aside(self, peer: str, origin: OriginId, now: float, reason: str) -> None:
        """``peer`` cannot give ``origin`` now: ask somebody else, and it again later."""
        if peer not in self._sources.peers:
            return
        self._sources.set_aside(peer, origin, now + self._patience.aside_timeout)
        self._notices.append(Notice("replication_source_set_aside", peer, origin, reason))
        fetch = self._fetches.get(origin)
        if fetch is not None and fetch.source == peer:
            self._drop_fetch(origin)
        self._deadline = min(self._deadline, now + self._patience.aside_timeout)
        self._plan([origin], now)

    def malformed(self, peer: str, now: float, reason: str) -> None:
        """``peer`` sent bytes that are no batch: ask others for all it was asked for."""
        for origin, fetch in list(self._fetches.items()):
            if fetch.source == peer:
                self._sources.refuse(peer, origin, NOWHERE)
                self.set_aside(peer, origin, now, reason)

    def forked(self, peer: str, origin: OriginId, now: float, reason: str) -> None:
        """Two histories of ``origin``: keep what is held, take no more, say so."""
        if origin in self._forked:
            return
        self._forked[origin] = reason
        self._notices.append(Notice("replication_forked", peer, origin, reason))
        self._drop_fetch(origin)
        self._plan([origin], now)

    def handle_timer(self, now: float) -> None:
        """Set aside sources that stall, try again those whose time is over, go on after gaps."""
        for origin, fetch in self._moving():
            if self._stalls_at(origin, fetch, now) <= now:
                self._sources.hangs(fetch.source, origin, self._next(origin), after_hole=fetch.after_gap)
                self.set_aside(fetch.source, origin, now, f"nothing came for {self._patience.stall_timeout:g} s")
        self._plan(self._sources.expire(now) | set(self._holes.since), now)
        expiry = self._sources.next_expiry()
        self._deadline = _NEVER if expiry is None else expiry
        for origin, _ in self._moving():
            self._mind(origin, now)
        for origin in self._holes.since:
            self._mind(origin, now)

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_timer` wants to be called, or before; ``None``: not until something happens."""
        return None if self._deadline == _NEVER else self._deadline

    # What to do, and what to say

    def commands(self) -> list[Want | Unwant]:
        """Return what peers are to be told, in order, and forget it."""
        commands, self._commands = self._commands, []
        return commands

    def notices(self) -> list[Notice]:
        """Return what an operator should know, and forget it."""
        notices, self._notices = self._notices, []
        return notices

    @property
    def held(self) -> Mapping[OriginId, Progress]:
        """How far this log reaches, as far as :meth:`advanced` has said."""
        return self._held

    def sources(self) -> dict[OriginId, str]:
        """Return who each origin is fetched from."""
        return {origin: fetch.source for origin, fetch in self._fetches.items()}

    def positions_of(self, peer: str) -> dict[OriginId, Progress]:
        """Return how far ``peer`` says its log reaches."""
        known = self._sources.peers.get(peer)
        return dict(known.positions) if known else {}

    def lag_behind(self, peer: str, origin: OriginId, now: float) -> Lag:
        """Return how far this log trails ``peer`` in ``origin``."""
        meter = self._meters.get(origin, {}).get(peer)
        return meter.read(now) if meter else LEVEL

    # Batches

    def _take(self, peer: str, header: BatchHeader, fetch: _Fetch, now: float) -> Decision:
        verdict = Decision.APPEND_AFTER_GAP if fetch.after_gap else Decision.APPEND
        if fetch.after_gap:
            self._pass_over(peer, header)
        fetch.expected, fetch.moved_at, fetch.after_gap = header.next_sequence, now, False
        self._close_hole(header.origin)
        self._sources.forget_refusals(header.origin)
        self._heard_of_batch(peer, header, now)
        return verdict

    def _pass_over(self, peer: str, header: BatchHeader) -> None:
        """Say that a gap batch stands for what is before ``header``: where retention removed it, that is no alarm."""
        origin, start, end = header.origin, self._next(header.origin), header.base_sequence
        if self._sources.is_trimmed(origin, end):
            self._passed_over[origin] = start, end
            detail = f"retention removed {_span(start, header)} wherever this node could ask"
            away = self._holes.away(origin, start, end)
            if away:
                detail += f"; not asked: {', '.join(f'{name} ({state})' for name, state in away.items())}"
            self._notices.append(Notice("replication_trimmed", peer, origin, detail))
        else:
            detail = f"nobody who was asked has {_span(start, header)}: a gap batch stands for them"
            self._notices.append(Notice("replication_gap", peer, origin, detail))

    def _look_back(self, peer: str, position: Progress) -> None:
        """A peer that came later may keep what was passed over: then it is missing here after all."""
        start, end = self._passed_over.get(position.origin, (FIRST_SEQUENCE, FIRST_SEQUENCE))
        if position.floor_sequence < end and position.next_sequence > start:
            del self._passed_over[position.origin]
            detail = f"it keeps some of the sequences from {start} to {end - 1} that this node passed over"
            self._notices.append(Notice("replication_gap", peer, position.origin, detail))

    def _heard_of_batch(self, peer: str, header: BatchHeader, now: float) -> None:
        """A batch is news of how far its sender reaches."""
        known = self._sources.peers[peer].positions.get(header.origin)
        before = known or Progress(header.origin, header.base_sequence)
        if known is None or known.next_sequence < header.next_sequence:
            after = replace(
                before,
                next_sequence=header.next_sequence,
                chain_crc=header.chain_crc,
                last_append_ms=header.append_time_ms,
                bytes=before.bytes + header.batch_bytes,
            )
            self._heard(peer, after, now)

    def _heard(self, peer: str, position: Progress, now: float) -> None:
        self._sources.peers[peer].positions[position.origin] = position
        origin, held = position.origin, self._held.get(position.origin)
        if not records_behind(held, position):
            self._drop_meter(peer, origin)
            return
        meter = self._meters.setdefault(origin, {}).setdefault(peer, LagMeter())
        meter.there(position, held, now)

    def _drop_meter(self, peer: str, origin: OriginId) -> None:
        meters = self._meters.get(origin)
        if meters is not None and meters.pop(peer, None) is not None and not meters:
            del self._meters[origin]

    def _hole(self, peer: str, header: BatchHeader, resume: SequenceNumber, now: float, reason: str) -> Decision:
        self._sources.refuse(peer, header.origin, resume)
        self.set_aside(peer, header.origin, now, reason)
        return Decision.HOLE

    def _drop(self, peer: str, header: BatchHeader) -> Decision:
        self.dropped[peer] = self.dropped.get(peer, 0) + header.record_count
        return Decision.DROP

    # Choosing

    def _plan(self, origins: Iterable[OriginId], now: float) -> None:
        """Give each of ``origins`` the best source there is; one that is as good as any keeps its place."""
        for origin in origins:
            self._plan_one(origin, now)
        self._fill(now)

    def _plan_one(self, origin: OriginId, now: float) -> None:
        if origin == self.local_origin or origin in self._forked:
            self._close_hole(origin)
            return
        self._plan_gap(origin, now)
        fetch, best = self._fetches.get(origin), self._sources.best(origin, now)
        if best is not None:
            if fetch is not None and self._should_switch(origin, fetch, best):
                self._drop_fetch(origin)
                self._fetch(origin, _Fetch(best, self._next(origin), now))
            elif fetch is None and self._sources.is_wanted(origin, self._next(origin)):
                if self._has_room(origin):
                    self._fetch(origin, _Fetch(best, self._next(origin), now))
                else:
                    self._waiting[origin] = None
        self._rest(origin)
        self._mind(origin, now)

    def _has_room(self, origin: OriginId) -> bool:
        """Return whether one more can be asked for; what rests makes room."""
        if len(self._fetches) < MAX_FETCHES or self._sources.is_written_by_a_peer(origin):
            return True
        for rested in self._resting:
            self._drop_fetch(rested)
            return True
        return False

    def _fill(self, now: float) -> None:
        """Ask for what waits, as far as there is room."""
        while self._waiting and (len(self._fetches) < MAX_FETCHES or self._resting):
            origin, _ = self._waiting.popitem(last=False)
            self._plan_one(origin, now)

    def _rest(self, origin: OriginId) -> None:
        """See whether ``origin`` rests: it is asked for, level, and of nobody whose stream is open."""
        self._resting.pop(origin, None)
        if origin not in self._fetches or self._sources.is_written_by_a_peer(origin):
            return
        if not self._sources.is_behind(origin, self._next(origin)):
            self._resting[origin] = None

    def _moving(self) -> list[tuple[OriginId, _Fetch]]:
        return [(origin, fetch) for origin, fetch in self._fetches.items() if origin not in self._resting]

    def _mind(self, origin: OriginId, now: float) -> None:
        """Have the timer fire no later than ``origin`` needs it."""
        fetch = self._fetches.get(origin)
        if fetch is not None and origin not in self._resting:
            self._deadline = min(self._deadline, self._stalls_at(origin, fetch, now))
        if origin in self._holes.since:
            self._deadline = min(self._deadline, self._gap_at(origin))

    def _plan_gap(self, origin: OriginId, now: float) -> None:
        """If all who have more of it were tried in vain, and for long, go on after the hole."""
        if not self._sources.all_refused(origin, self._next(origin)):
            self._close_hole(origin)
            return
        self._holes.open(origin, now)
        nearest = self._sources.nearest_after_hole(origin, self._next(origin))
        if nearest is None:
            return
        resume, peer = nearest
        over, began = self._holes.look(origin, self._next(origin), resume)
        self._say_waits(origin, over, began)
        fetch = self._fetches.get(origin)
        waits_elsewhere = fetch is not None and fetch.after_gap and (fetch.expected, fetch.source) != nearest
        if waits_elsewhere or self._gap_at(origin) <= now:
            self._drop_fetch(origin)
            self._fetch(origin, _Fetch(peer, resume, now, after_gap=True))

    def _fetch(self, origin: OriginId, fetch: _Fetch) -> None:
        held = self._held.get(origin)
        chain_crc = held.chain_crc if held is not None and not fetch.after_gap else 0
        self._fetches[origin] = fetch
        self._waiting.pop(origin, None)
        self._commands.append(Want(fetch.source, origin, fetch.expected, chain_crc))

    def _drop_fetch(self, origin: OriginId) -> None:
        fetch = self._fetches.pop(origin, None)
        self._resting.pop(origin, None)
        if fetch is not None:
            self._commands.append(Unwant(fetch.source, origin))

    def _should_switch(self, origin: OriginId, fetch: _Fetch, best: str) -> bool:
        """Switch to the origin itself, or from a source that has nothing more; any other keeps its place until it stalls.

        A source that has nothing more of this origin may be busy with others for ever: it never counts as stalled.
        """
        held = self._next(origin)
        if best == fetch.source or fetch.after_gap:
            return False
        peer = self._sources.peers[best]
        if peer.origin == origin:
            return peer.refused.get(origin, FIRST_SEQUENCE) <= held
        exhausted = fetch.expected == held and self._sources.peers[fetch.source].reach(origin) <= held
        return exhausted and peer.may_continue(origin, held)

    def _stalls_at(self, origin: OriginId, fetch: _Fetch, now: float) -> float:
        """Return when the source will have had its time; never, while there is nothing to wait for, or nobody else."""
        held = self._next(origin)
        if fetch.expected > held and not fetch.after_gap:
            return _NEVER  # this log is the slow one
        anyone = self._sources.another_may_continue(origin, held, fetch.source, now)
        if not anyone and (fetch.after_gap or not self._sources.is_last_resort(origin, held, fetch.source)):
            return _NEVER
        known_since = [
            meter.behind_since
            for name, meter in self._meters.get(origin, {}).items()
            if name in self._sources.peers and meter.behind_since is not None
        ]
        moved_at = max(fetch.moved_at, self._sources.peers[fetch.source].sent_at)
        return max(moved_at, min(known_since, default=moved_at)) + self._patience.stall_timeout

    def _gap_at(self, origin: OriginId) -> float:
        fetch = self._fetches.get(origin)
        busy = fetch is not None and (fetch.after_gap or fetch.expected > self._next(origin))
        nearest = None if busy else self._sources.nearest_after_hole(origin, self._next(origin))
        return _NEVER if nearest is None else self._holes.may_pass_at(origin, self._next(origin), nearest[0])

    def _close_hole(self, origin: OriginId) -> None:
        self._say_waits(origin, self._holes.close(origin), None)

    def _say_waits(self, origin: OriginId, over: Wait | None, began: Wait | None) -> None:
        if over is not None:
            self._notices.append(Notice("replication_wait_over", over.member, origin, over.detail))
        if began is not None:
            self._notices.append(Notice("replication_waits", began.member, origin, began.detail))

    # Small things

    def _next(self, origin: OriginId) -> SequenceNumber:
        return next_of(self._held, origin)

    def _compare(self, peer: str, position: Progress, now: float) -> None:
        """Of the own origin, others find out: :mod:`proglog.server.own_origin`."""
        held = self._held.get(position.origin)
        if held is None or position.origin == self.local_origin or not position.chain_crc:
            return
        if held.next_sequence == position.next_sequence and held.chain_crc != position.chain_crc:
            self.forked(peer, position.origin, now, f"the histories part before sequence {held.next_sequence}")

    def _forget(self, peer: str) -> set[OriginId]:
        """Return which origins have to be planned anew without ``peer``."""
        gone = self._sources.close(peer)
        lost = {origin for origin, fetch in self._fetches.items() if fetch.source == peer}
        for origin in lost:
            del self._fetches[origin]
            self._resting.pop(origin, None)
        return {*lost, *self._fetches, *self._holes.since, *([gone.origin] if gone else [])}


_NEVER = float("inf")


def _span(first: int, header: BatchHeader) -> str:
    return f"sequences {first} to {header.base_sequence - 1}"
