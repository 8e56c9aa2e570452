"""Plan which origin to fetch from which peer: a pure state machine between peers' positions and this log's.

Each origin has one *source* at a time: the origin's own node while its stream is open, else the most advanced peer.
The source pushes; a batch is accepted only if it is the very next one::

    batch of an origin        verdict
    ------------------        -------
    this node's own           DROP
    before the expected one   DROP; every drop is counted
    the next                  APPEND
    after it                  HOLE: set the source aside for this origin, ask the next best one
    across it                 FORK: batches have the same bounds everywhere, so the histories differ
    a gap                     HOLE as well: another peer may have the records

    origin
               a peer has it                    refused, stalled, stream broke
      IDLE ------------------> FETCHING(source) ------------------------------> FETCHING(next best)
                                 |      ^                                         | no peer left
                                 |      | retried after aside_timeout             v
                  chains differ  |      +---------------------------------- STUCK(since)
                                 v                                                | no member can have it: see holes.py
                              FORKED (kept as it is, alarm)                       v
                                                           FETCHING after the gap: APPEND_AFTER_GAP, notice

A log may hold a hundred thousand origins. So each input touches only the origins that it concerns, never all of them.
The planner asks for the peers' own origins, where new records appear, and for those in which this log lags, in portions.
An origin that is up to date stays requested until its place is needed::

    waiting --> fetching --> resting        room for MAX_FETCHES besides the peers' own;
                   ^            |           a waiting origin takes the place of the longest resting one
                   +-- a peer --+
                       has more

This module implements rules 1, 4, 6 and 7 of docs/concepts/replication.md; the log enforces the first and the last as well.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proglog.record.batch import BatchHeader
from proglog.replication.holes import Holes, Others, Over, Wait
from proglog.replication.lag import Lag, Lags
from proglog.replication.plan import Command, Decision, Notice, Patience, Reopen, Unwant, Want
from proglog.replication.progress import FIRST_SEQUENCE, Progress, Refusal, RefusalKind
from proglog.replication.sources import NEVER, NOWHERE, Sources, next_of
from proglog.types import OriginId, SequenceNumber, half_open

MAX_FETCHES = 1024
"""Origins requested at a time, besides the peers' own."""


@dataclass(slots=True)
class _Fetch:
    """One origin under way."""

    source: str
    expected: SequenceNumber
    """The next sequence to accept, counting accepted batches that are not yet durable."""
    moved_at: float
    """Time of the last batch or request."""
    after_gap: bool = False
    """Whether the first batch will follow a gap."""


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
            others: The other members: see :mod:`proglog.replication.holes`.
        """
        self.local_origin = local_origin
        self.dropped: dict[str, int] = {}
        """Redundant records dropped, by peer."""
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
        """Fetches in which no peer is ahead, and that no connected peer writes; the longest resting first."""
        self._waiting: OrderedDict[OriginId, None] = OrderedDict()
        """Origins to fetch when there is room."""
        self._forked: dict[OriginId, str] = {}
        self._lags = Lags()
        self._deadline = NEVER
        """A lower bound on when :meth:`handle_timer` next has something to do."""
        self._commands: list[Command] = []
        self._notices: list[Notice] = []

    # What happened

    def stream_opened(self, peer: str, origin: OriginId, now: float) -> None:
        """Start using ``peer``, whose own origin is ``origin``: its stream opened."""
        affected = self._forget(peer)
        self._sources.open(peer, origin, now)
        self._plan([*affected, origin], now)

    def stream_closed(self, peer: str, now: float) -> None:
        """Stop using ``peer``: its stream broke or closed. Its lag keeps its start: see :meth:`peer_left`."""
        self._plan(self._forget(peer), now)

    def peer_left(self, peer: str) -> None:
        """Forget the lag behind ``peer``, which is no longer followed."""
        self._lags.forget(peer)

    def positions_received(self, peer: str, positions: Iterable[Progress], now: float) -> None:
        """Take in ``peer``'s progress in some origins."""
        if peer not in self._sources.peers:
            return
        positions = tuple(positions)
        for position in positions:
            self._heard(peer, position, now)
            self._compare(peer, position, now)
        self._plan([position.origin for position in positions], now)

    def refused_by(self, peer: str, event: Refusal, now: float) -> None:
        """Take in that ``peer`` cannot continue an origin."""
        if peer not in self._sources.peers:
            return
        if event.kind is RefusalKind.FORKED:
            self.forked(peer, event.origin, now, f"the histories part at or before sequence {event.sequence}")
            return
        self._sources.peers[peer].sends(now)
        self._sources.refuse(peer, event.origin, event.sequence)
        self.set_aside(peer, event.origin, now, event.kind.value)

    def advanced(self, positions: Iterable[Progress], now: float) -> None:
        """Take in what the log now durably holds of some origins."""
        moved = {each.origin: each for each in positions if self._held.get(each.origin) != each}
        self._held |= moved
        for origin, position in moved.items():
            self._lags.advanced(position, now)
            self._rest(origin)
            self._mind(origin, now)
        self._fill(now)

    def local_origin_changed(self, origin: OriginId, now: float) -> None:
        """Switch to ``origin`` as the local one; treat the old one as any other: fetch it, where the histories agree."""
        before, self.local_origin = self.local_origin, origin
        for name, peer in self._sources.peers.items():
            for each in before, origin:
                if each in peer.positions:
                    self._compare(name, peer.positions[each], now)
        self._plan([before, origin], now)

    def judge(self, peer: str, header: BatchHeader, now: float) -> Decision:
        """Decide what to do with a batch from ``peer``; both kinds of ``APPEND`` expect the caller to append it."""
        origin = header.origin
        if peer in self._sources.peers:
            self._sources.peers[peer].sends(now)
        fetch = self._fetches.get(origin)
        if fetch is None or fetch.source != peer or header.next_sequence <= fetch.expected:
            return self._drop(peer, header)  # held, or its source was asked before its place was taken
        if header.is_gap:
            # A gap counts as a refusal: another peer may have the records.
            return self._hole(peer, header, header.next_sequence, now, "it has a gap there itself")
        if header.base_sequence > fetch.expected:
            return self._hole(peer, header, header.base_sequence, now, f"it left out {_span(fetch.expected, header)}")
        if header.base_sequence < fetch.expected:
            self.forked(peer, origin, now, f"its batch at {header.base_sequence} overlaps sequence {fetch.expected}")
            return Decision.FORK
        return self._take(peer, header, fetch, now)

    def over(self, header: BatchHeader) -> Over:
        """Return why the batch is appended after a gap, when :meth:`judge` decided so."""
        return self._holes.over(header.origin, self._next(header.origin), header.base_sequence)

    def append_failed(self, origin: OriginId, now: float) -> None:
        """Request the origin again from the log's end: an append failed."""
        self._drop_fetch(origin)
        self._plan([origin], now)

    def set_aside(self, peer: str, origin: OriginId, now: float, reason: str) -> None:
        """Fetch ``origin`` from another peer for now, and retry ``peer`` later."""
        if peer not in self._sources.peers:
            return
        self._sources.set_aside(peer, origin, now + self._patience.aside_timeout)
        self._notices.append(Notice("replication_source_set_aside", peer, origin, reason))
        fetch = self._fetches.get(origin)
        if fetch is not None and fetch.source == peer:
            self._drop_fetch(origin)
        self._deadline = min(self._deadline, now + self._patience.aside_timeout)
        self._plan([origin], now)

    def malformed(self, peer: str, now: float, reason: str) -> float:
        """Fetch from other peers whatever ``peer`` was asked for: it sent malformed bytes. Return until when."""
        for origin, fetch in list(self._fetches.items()):
            if fetch.source == peer:
                self._sources.refuse(peer, origin, NOWHERE)
                self.set_aside(peer, origin, now, reason)
        return now + self._patience.aside_timeout

    def forked(self, peer: str, origin: OriginId, now: float, reason: str) -> None:
        """Keep what the log holds of ``origin``, take no more, and report it: there are two histories."""
        if origin in self._forked:
            return
        self._forked[origin] = reason
        self._notices.append(Notice("replication_forked", peer, origin, reason))
        self._drop_fetch(origin)
        self._plan([origin], now)

    def handle_timer(self, now: float) -> None:
        """Reopen silent streams, set aside stalled sources, retry those whose time is up, skip holes that are due."""
        for origin, fetch in self._moving():
            if self._reopens_at(origin, fetch) <= now:
                self._commands.append(Reopen(fetch.source, self._sources.reopens(fetch.source, now)))
            if self._stalls_at(origin, fetch, now) <= now:
                quiet = self._quiet_since(origin, fetch)
                self._sources.hangs(fetch.source, origin, self._next(origin), quiet, after_hole=fetch.after_gap)
                self.set_aside(fetch.source, origin, now, f"nothing came for {self._patience.stall_timeout:g} s")
        self._plan(self._sources.expire(now) | set(self._holes.since), now)
        expiry = self._sources.next_expiry()
        self._deadline = NEVER if expiry is None else expiry
        for origin, _ in self._moving():
            self._mind(origin, now)
        for origin in self._holes.since:
            self._mind(origin, now)

    def next_deadline(self) -> float | None:
        """Return the latest time to call :meth:`handle_timer`; ``None``: not before the next input."""
        return None if self._deadline == NEVER else self._deadline

    # What to do, and what to say

    def commands(self) -> list[Command]:
        """Return and clear the requests to send to peers, in order."""
        commands, self._commands = self._commands, []
        return commands

    def notices(self) -> list[Notice]:
        """Return and clear what to report to the operator."""
        notices, self._notices = self._notices, []
        return notices

    @property
    def held(self) -> Mapping[OriginId, Progress]:
        """This log's progress, as of the last :meth:`advanced`."""
        return self._held

    def sources(self) -> dict[OriginId, str]:
        """Return the current source of each origin."""
        return {origin: fetch.source for origin, fetch in self._fetches.items()}

    def due(self) -> dict[str, float]:
        """Return since when each source owes something that this log lacks and has sent nothing; by peer, the longest."""
        since: dict[str, float] = {}
        for origin, fetch in self._moving():
            owed = self._owed_since(origin, fetch)
            if owed < since.get(fetch.source, NEVER):
                since[fetch.source] = owed
        return since

    def positions_of(self, peer: str) -> dict[OriginId, Progress]:
        """Return the progress that ``peer`` reported."""
        known = self._sources.peers.get(peer)
        return dict(known.positions) if known else {}

    def position_of(self, peer: str, origin: OriginId) -> Progress | None:
        """Return the progress that ``peer`` reported in ``origin``; ``None``: none."""
        known = self._sources.peers.get(peer)
        return None if known is None else known.positions.get(origin)

    def lags_behind(self, peer: str, now: float) -> dict[OriginId, Lag]:
        """Return how far this log trails ``peer``, by origin: only where it does."""
        return self._lags.behind(peer, now)

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
        """Report the gap before ``header``: an alarm, unless retention removed those records everywhere."""
        over = self.over(header)
        kind = "replication_trimmed" if over.removed else "replication_gap"
        self._notices.append(Notice(kind, peer, header.origin, over.reason))

    def _heard_of_batch(self, peer: str, header: BatchHeader, now: float) -> None:
        """Advance the sender's progress to the end of its batch."""
        known = self._sources.peers[peer].positions.get(header.origin)
        if known is None or known.next_sequence < header.next_sequence:
            self._heard(peer, (known or Progress(header.origin, header.base_sequence)).after(header), now)

    def _heard(self, peer: str, position: Progress, now: float) -> None:
        self._sources.peers[peer].positions[position.origin] = position
        self._lags.heard(peer, position, self._held.get(position.origin), now)

    def _hole(self, peer: str, header: BatchHeader, resume: SequenceNumber, now: float, reason: str) -> Decision:
        self._sources.refuse(peer, header.origin, resume)
        self.set_aside(peer, header.origin, now, reason)
        return Decision.HOLE

    def _drop(self, peer: str, header: BatchHeader) -> Decision:
        self.dropped[peer] = self.dropped.get(peer, 0) + header.record_count
        return Decision.DROP

    # Choosing

    def _plan(self, origins: Iterable[OriginId], now: float) -> None:
        """Assign the best source to each of ``origins``; a current source that is as good as any stays."""
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
        """Return whether another origin can be requested; evict a resting one if necessary."""
        if len(self._fetches) < MAX_FETCHES or self._sources.is_written_by_a_peer(origin):
            return True
        for rested in self._resting:
            self._drop_fetch(rested)
            return True
        return False

    def _fill(self, now: float) -> None:
        """Request waiting origins while there is room."""
        while self._waiting and (len(self._fetches) < MAX_FETCHES or self._resting):
            origin, _ = self._waiting.popitem(last=False)
            self._plan_one(origin, now)

    def _rest(self, origin: OriginId) -> None:
        """Update whether ``origin`` rests: it is requested, up to date, and no connected peer writes it."""
        self._resting.pop(origin, None)
        if origin not in self._fetches or self._sources.is_written_by_a_peer(origin):
            return
        if not self._sources.is_behind(origin, self._next(origin)):
            self._resting[origin] = None

    def _moving(self) -> list[tuple[OriginId, _Fetch]]:
        return [(origin, fetch) for origin, fetch in self._fetches.items() if origin not in self._resting]

    def _mind(self, origin: OriginId, now: float) -> None:
        """Bring the deadline forward to when ``origin`` needs the timer."""
        fetch = self._fetches.get(origin)
        if fetch is not None and origin not in self._resting:
            self._deadline = min(self._deadline, self._stalls_at(origin, fetch, now), self._reopens_at(origin, fetch))
        if origin in self._holes.since:
            self._deadline = min(self._deadline, self._gap_at(origin))

    def _plan_gap(self, origin: OriginId, now: float) -> None:
        """Continue after the hole if all peers that are ahead were tried in vain for long enough."""
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
        """Switch to the origin's own node, or away from an exhausted source; any other source stays until it stalls.

        An exhausted source may be busy with other origins indefinitely, so it never counts as stalled.
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
        """Return when the source counts as stalled; never, while nothing is due from it or no other peer can help."""
        held = self._next(origin)
        if fetch.expected > held and not fetch.after_gap:
            return NEVER  # this log is the slow one
        anyone = self._sources.another_may_continue(origin, held, fetch.source, now)
        if not anyone and (fetch.after_gap or not self._sources.is_last_resort(origin, held, fetch.source)):
            return NEVER
        return self._quiet_since(origin, fetch) + self._patience.stall_timeout

    def _reopens_at(self, origin: OriginId, fetch: _Fetch) -> float:
        """Return when the stream from the source, which owes records of ``origin``, has been silent for too long."""
        owed, patience = self._owed_since(origin, fetch), self._patience
        if owed == NEVER:
            return NEVER
        due = self._sources.reopens_at(fetch.source, owed, patience.reopen_timeout)
        return max(due, owed + patience.stall_timeout)  # an answer to the latest request has its time, too

    def _owed_since(self, origin: OriginId, fetch: _Fetch) -> float:
        """Return since when the source owes something of ``origin`` and has sent nothing; ``NEVER``: it owes nothing."""
        held = self._next(origin)
        source = self._sources.peers.get(fetch.source)
        waits = fetch.after_gap or fetch.expected == held  # otherwise this log is the slow one
        if source is None or not waits or source.reach(origin) <= held:
            return NEVER
        return self._quiet_since(origin, fetch)

    def _quiet_since(self, origin: OriginId, fetch: _Fetch) -> float:
        """Return since when something of ``origin`` is due from its source, and nothing has come from it."""
        moved_at = max(fetch.moved_at, self._sources.peers[fetch.source].sent_at)
        return max(moved_at, self._lags.behind_since(origin, self._sources.peers, moved_at))

    def _gap_at(self, origin: OriginId) -> float:
        fetch = self._fetches.get(origin)
        busy = fetch is not None and (fetch.after_gap or fetch.expected > self._next(origin))
        nearest = None if busy else self._sources.nearest_after_hole(origin, self._next(origin))
        return NEVER if nearest is None else self._holes.may_pass_at(origin, self._next(origin), nearest[0])

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
        """Detect a fork by checksum; :mod:`proglog.server.own_origin` does so for the local origin."""
        held = self._held.get(position.origin)
        if held is None or position.origin == self.local_origin or not position.chain_crc:
            return
        if held.next_sequence == position.next_sequence and held.chain_crc != position.chain_crc:
            self.forked(peer, position.origin, now, f"the histories part before sequence {held.next_sequence}")

    def _forget(self, peer: str) -> set[OriginId]:
        """Remove ``peer``; return the origins to plan again."""
        gone = self._sources.close(peer)
        lost = {origin for origin, fetch in self._fetches.items() if fetch.source == peer}
        for origin in lost:
            del self._fetches[origin]
            self._resting.pop(origin, None)
        return {*lost, *self._fetches, *self._holes.since, *([gone.origin] if gone else [])}


def _span(first: int, header: BatchHeader) -> str:
    return f"sequences {half_open(first, header.base_sequence)}"
