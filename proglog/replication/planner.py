"""Who fetches what from whom: a pure state machine between peers' positions and what this log holds.

Each origin has one *source* at a time: the origin's own node while its stream is open, else whoever reaches farthest.
The source pushes; a batch is taken only if it is the very next one::

    batch of an origin        verdict
    ------------------        -------
    this node's own           DROP, and an event if it is ahead of this log: a directory was rolled back or cloned
    before what is expected   DROP, counted
    the next                  APPEND
    after it                  HOLE: the source is set aside for this origin, the next best one is asked
    across it                 FORK: batches have the same bounds everywhere, so somebody's history is another

A source that is known to be behind the truth and sends nothing for ``stall_timeout`` is set aside as well. Setting
aside ends with time, and with the stream.

Rules 1, 4, 6 and 8 of docs/concepts/replication.md live here; the log holds to them by itself, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from proglog.record.batch import BatchHeader
from proglog.replication.positions import Lag, Position, lag
from proglog.types import OriginId, Sequence

FIRST_SEQUENCE = Sequence(1)


class Verdict(Enum):
    """What to do with a batch that a peer sent."""

    APPEND = "append"
    DROP = "drop"
    HOLE = "hole"
    FORK = "fork"


@dataclass(frozen=True, slots=True)
class Want:
    """Ask ``peer`` for ``origin`` from ``next_sequence`` on."""

    peer: str
    origin: OriginId
    next_sequence: Sequence
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


@dataclass(slots=True)
class _Peer:
    origin: OriginId
    positions: dict[OriginId, Position] = field(default_factory=dict)
    aside: dict[OriginId, float] = field(default_factory=dict)
    """Origins that it is not asked for, until when."""


@dataclass(slots=True)
class _Fetch:
    """One origin under way."""

    source: str
    expected: Sequence
    """The next sequence to take, counting what is taken but not yet durable."""
    moved_at: float
    """When something last came, or was asked for."""


class Planner:
    """Feed it what happened, then drain ``commands()`` and ``notices()``. Time is seconds on any monotonic clock."""

    def __init__(
        self,
        local_origin: OriginId,
        held: Mapping[OriginId, Position],
        *,
        stall_timeout: float = 2.0,
        aside_timeout: float = 10.0,
    ) -> None:
        """Start with what the log durably holds.

        Args:
            local_origin: Never fetched: this node is its only writer.
            held: Positions of the log, by origin.
            stall_timeout: Seconds without a batch after which a source that should have one is set aside.
            aside_timeout: Seconds for which it is.
        """
        self.local_origin = local_origin
        self.dropped: dict[str, int] = {}
        """Batches that were held already, by peer."""
        self._held = dict(held)
        self._stall_timeout = stall_timeout
        self._aside_timeout = aside_timeout
        self._peers: dict[str, _Peer] = {}
        self._fetches: dict[OriginId, _Fetch] = {}
        self._forked: dict[OriginId, str] = {}
        self._behind_since: dict[tuple[str, OriginId], float] = {}
        self._commands: list[Want | Unwant] = []
        self._notices: list[Notice] = []

    # What happened

    def stream_opened(self, peer: str, origin: OriginId, now: float) -> None:
        """A stream from ``peer``, whose own origin is ``origin``, is open."""
        self._forget(peer)
        self._peers[peer] = _Peer(origin)
        self._plan(now)

    def stream_closed(self, peer: str, now: float) -> None:
        """The stream from ``peer`` broke, or was closed."""
        self._forget(peer)
        self._plan(now)

    def positions_received(self, peer: str, positions: Iterable[Position], now: float) -> None:
        """``peer`` said how far its log reaches in some origins."""
        known = self._peers.get(peer)
        if known is None:
            return
        for position in positions:
            known.positions[position.origin] = position
            self._note_lag(peer, position, now)
            if position.origin == self.local_origin and position.next_sequence > self._next(self.local_origin):
                self._notice_own_origin_ahead(peer, position.next_sequence)
        self._plan(now)

    def advanced(self, positions: Iterable[Position], now: float) -> None:
        """The log durably holds this much of some origins now."""
        for position in positions:
            self._held[position.origin] = position
            for name, peer in self._peers.items():
                there = peer.positions.get(position.origin)
                if there is not None:
                    self._note_lag(name, there, now)

    def judge(self, peer: str, header: BatchHeader, now: float) -> Verdict:
        """Say what to do with a batch that ``peer`` sent; ``APPEND`` counts on it being appended."""
        origin = header.origin
        if origin == self.local_origin:
            if header.next_sequence > self._next(origin):
                self._notice_own_origin_ahead(peer, header.next_sequence)
            return self._drop(peer)
        fetch = self._fetches.get(origin)
        expected = fetch.expected if fetch else self._next(origin)
        if origin in self._forked or header.next_sequence <= expected:
            return self._drop(peer)
        if header.base_sequence < expected:
            self.forked(peer, origin, now, f"its batch at {header.base_sequence} overlaps sequence {expected}")
            return Verdict.FORK
        if fetch is None or fetch.source != peer:
            return self._drop(peer)  # it had been asked before its place was taken
        if header.base_sequence > expected:
            self.set_aside(peer, origin, now, f"it went from sequence {expected} to {header.base_sequence}")
            return Verdict.HOLE
        fetch.expected = header.next_sequence
        fetch.moved_at = now
        known = self._peers[peer].positions.get(origin)
        if known is None or known.next_sequence < header.next_sequence:
            self._peers[peer].positions[origin] = Position(
                origin,
                header.next_sequence,
                header.chain_crc,
                known.floor_sequence if known else FIRST_SEQUENCE,
                header.append_time_ms,
                (known.bytes if known else 0) + header.batch_bytes,
                known.node_name if known else "",
            )
        return Verdict.APPEND

    def refused(self, origin: OriginId, now: float) -> None:
        """The log did not take a batch that was to be appended: ask again from what it holds."""
        fetch = self._fetches.pop(origin, None)
        if fetch is not None:
            self._commands.append(Unwant(fetch.source, origin))
        self._plan(now)

    def set_aside(self, peer: str, origin: OriginId, now: float, reason: str) -> None:
        """``peer`` cannot give ``origin`` now: ask somebody else, and it again later."""
        known = self._peers.get(peer)
        if known is None:
            return
        known.aside[origin] = now + self._aside_timeout
        self._notices.append(Notice("replication_source_set_aside", peer, origin, reason))
        fetch = self._fetches.get(origin)
        if fetch is not None and fetch.source == peer:
            del self._fetches[origin]
            self._commands.append(Unwant(peer, origin))
        self._plan(now)

    def forked(self, peer: str, origin: OriginId, now: float, reason: str) -> None:
        """Two histories of ``origin``: keep what is held, take no more, say so."""
        if origin in self._forked:
            return
        self._forked[origin] = reason
        self._notices.append(Notice("replication_forked", peer, origin, reason))
        fetch = self._fetches.pop(origin, None)
        if fetch is not None:
            self._commands.append(Unwant(fetch.source, origin))
        self._plan(now)

    def handle_timer(self, now: float) -> None:
        """Set aside sources that stall, and try again those whose time is over."""
        for origin, fetch in list(self._fetches.items()):
            if self._stalls_at(origin, fetch) <= now and self._others(origin, fetch.source, now):
                self.set_aside(fetch.source, origin, now, f"nothing came for {self._stall_timeout:g} s")
        for peer in self._peers.values():
            peer.aside = {origin: until for origin, until in peer.aside.items() if until > now}
        self._plan(now)

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_timer` wants to be called; ``None``: not until something happens."""
        deadlines = [
            self._stalls_at(origin, fetch)
            for origin, fetch in self._fetches.items()
            if len(self._peers) > 1 and self._is_behind(origin)
        ]
        deadlines += [until for peer in self._peers.values() for until in peer.aside.values()]
        return min(deadlines, default=None)

    # What to do, and what to say

    def commands(self) -> list[Want | Unwant]:
        """Return what peers are to be told, in order, and forget it."""
        commands, self._commands = self._commands, []
        return commands

    def notices(self) -> list[Notice]:
        """Return what an operator should know, and forget it."""
        notices, self._notices = self._notices, []
        return notices

    def sources(self) -> dict[OriginId, str]:
        """Return who each origin is fetched from."""
        return {origin: fetch.source for origin, fetch in self._fetches.items()}

    def positions_of(self, peer: str) -> dict[OriginId, Position]:
        """Return how far ``peer`` says its log reaches."""
        known = self._peers.get(peer)
        return dict(known.positions) if known else {}

    def lag_behind(self, peer: str, origin: OriginId) -> Lag:
        """Return how far this log trails ``peer`` in ``origin``."""
        there = self.positions_of(peer).get(origin)
        return lag(self._held.get(origin), there) if there else Lag(0, 0)

    def behind_for(self, peer: str, origin: OriginId, now: float) -> float:
        """Return for how many seconds this log has trailed ``peer`` in ``origin``; 0 when it does not."""
        since = self._behind_since.get((peer, origin))
        return now - since if since is not None else 0.0

    # Inside

    def _plan(self, now: float) -> None:
        """Give each origin the best source there is; one that is as good as any keeps its place."""
        for origin in self._known_origins():
            best = self._best(origin, now)
            fetch = self._fetches.get(origin)
            if best is None or (fetch is not None and not self._should_switch(origin, fetch, best)):
                continue
            if fetch is not None:
                self._commands.append(Unwant(fetch.source, origin))
            held = self._held.get(origin)
            start = held.next_sequence if held else FIRST_SEQUENCE
            self._fetches[origin] = _Fetch(best, start, now)
            self._commands.append(Want(best, origin, start, held.chain_crc if held else 0))

    def _known_origins(self) -> list[OriginId]:
        known: dict[OriginId, None] = {}
        for peer in self._peers.values():
            known |= dict.fromkeys(peer.positions)
            known[peer.origin] = None
        return [origin for origin in known if origin != self.local_origin and origin not in self._forked]

    def _best(self, origin: OriginId, now: float) -> str | None:
        candidates = [
            (peer.origin != origin, -self._reach(peer, origin), name)
            for name, peer in self._peers.items()
            if (origin in peer.positions or peer.origin == origin) and peer.aside.get(origin, now) <= now
        ]
        return min(candidates)[2] if candidates else None

    def _should_switch(self, origin: OriginId, fetch: _Fetch, best: str) -> bool:
        """Only the origin itself takes another's place: the others give it up by leaving or stalling."""
        return best != fetch.source and self._peers[best].origin == origin

    def _others(self, origin: OriginId, source: str, now: float) -> bool:
        return any(
            name != source and self._reach(peer, origin) > self._next(origin) and peer.aside.get(origin, now) <= now
            for name, peer in self._peers.items()
        )

    def _stalls_at(self, origin: OriginId, fetch: _Fetch) -> float:
        if fetch.expected > self._next(origin) or not self._is_behind(origin):
            return float("inf")  # this log is the slow one, or there is nothing to wait for
        return fetch.moved_at + self._stall_timeout

    def _is_behind(self, origin: OriginId) -> bool:
        return any(self._reach(peer, origin) > self._next(origin) for peer in self._peers.values())

    def _reach(self, peer: _Peer, origin: OriginId) -> int:
        position = peer.positions.get(origin)
        return position.next_sequence if position else 0

    def _next(self, origin: OriginId) -> Sequence:
        held = self._held.get(origin)
        return held.next_sequence if held else FIRST_SEQUENCE

    def _drop(self, peer: str) -> Verdict:
        self.dropped[peer] = self.dropped.get(peer, 0) + 1
        return Verdict.DROP

    def _forget(self, peer: str) -> None:
        self._peers.pop(peer, None)
        for origin, fetch in list(self._fetches.items()):
            if fetch.source == peer:
                del self._fetches[origin]
        for key in [key for key in self._behind_since if key[0] == peer]:
            del self._behind_since[key]

    def _note_lag(self, peer: str, there: Position, now: float) -> None:
        key = (peer, there.origin)
        if there.next_sequence > self._next(there.origin):
            self._behind_since.setdefault(key, now)
        else:
            self._behind_since.pop(key, None)

    def _notice_own_origin_ahead(self, peer: str, next_sequence: int) -> None:
        detail = (
            f"it has this node's origin up to {next_sequence - 1}, this node up to {self._next(self.local_origin) - 1}"
        )
        self._notices.append(Notice("own_origin_ahead", peer, self.local_origin, detail))
