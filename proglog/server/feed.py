"""One follower's pass through a log: which batches to send it next, and which refusals.

One pass in log order serves all origins that a follower wants, since a log holds each origin's batches in sequence.
No sockets, no waiting: those are in :mod:`proglog.server.replication_service`. ::

    want(origin, n)     behind the pass  ->  the pass rewinds to it; origins already sent are skipped
                        below the floor  ->  BELOW_FLOOR          chains differ at n  ->  FORKED
    batch met           its sequence is the next wanted  ->  sent as it is stored
                        before it        ->  skipped
                        after it         ->  BELOW_FLOOR or DAMAGED, and the origin is unwanted: never a hole
                        its checksums do not match  ->  skipped, as if it were absent

The cost of a message grows with what moved since the last one and with what is wanted, never with the number of origins
in the log. Positions are reported in portions as well, the longest unreported first.

Checksums are verified again before bytes leave: that costs a tenth of a millisecond a megabyte. A follower that receives
corrupt bytes can only hang up, while one that gets a refusal asks another peer.
"""

from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from proglog.errors import (
    DataLossError,
    InvalidRequestError,
    NotFoundError,
    OffsetOutOfRangeError,
    StorageError,
)
from proglog.log.log import Log
from proglog.log.model import LogPosition, LogRead
from proglog.replication.progress import Progress, Refusal, RefusalKind
from proglog.server.commit_log import LogView
from proglog.types import FilePosition, OriginId, SequenceNumber

MAX_WANTED = 4096
"""Origins that one follower may want at a time; it replaces finished ones to get more."""
MAX_TOLD = 1024
"""Positions reported in one message; the next message has the rest."""


class Question(NamedTuple):
    """A look-up that a pass needs from the disk."""

    at: LogPosition
    """The place of the pass."""
    wants: Mapping[OriginId, SequenceNumber]
    """Where it may have to rewind to."""
    suspect: tuple[LogPosition, int] | None
    """Place and size of bytes that did not check out."""


class Feed:
    """Set what is wanted, read the log at ``at``, and pass the data to :meth:`take`."""

    def __init__(self, log: LogView) -> None:
        """Start at the durable end of ``log``, with nothing wanted."""
        self.log = log
        self.at = log.end_position
        """Where to read next."""
        self.sent: dict[OriginId, tuple[SequenceNumber, int]] = {}
        """Where the last taken data ends in each origin, and the chain checksum there: followers report these next."""
        self._wanted: dict[OriginId, SequenceNumber] = {}
        self._events: list[Refusal] = []
        self._left_out = False
        """Whether the pass skipped something unreadable: it may have held the end of an origin."""
        self._seen = 0
        """The version of the log's progress that was last seen."""
        self._untold: dict[OriginId, None] = {}
        """Origins that moved since they were last reported to the follower."""
        self._behind: dict[OriginId, SequenceNumber] = {}
        """Wanted origins that are not fully sent: the log's end in each, as last seen."""
        self._unplaced: dict[OriginId, SequenceNumber] = {}
        """Origins wanted since the pass last rewound."""
        self._suspect: tuple[LogPosition, int] | None = None

    def want(self, origin: OriginId, next_sequence: SequenceNumber, chain_crc: int) -> None:
        """Send ``origin`` from ``next_sequence`` on; ``chain_crc`` is the follower's, there; 0 if it has none.

        Raises:
            InvalidRequestError: More than ``MAX_WANTED`` origins.
        """
        if origin not in self._wanted and len(self._wanted) >= MAX_WANTED:
            raise InvalidRequestError(f"one stream may want {MAX_WANTED} origins")
        state = self.log.progress(origin)
        if state is not None and not self._can_serve(state, origin, next_sequence, chain_crc):
            self._drop(origin)
            return
        self._wanted[origin] = next_sequence  # also of an unknown origin: its records may be on their way
        self._behind.pop(origin, None)
        if state is not None and state.next_sequence > next_sequence:
            self._behind[origin] = state.next_sequence

    def unwant(self, origin: OriginId) -> None:
        """Stop sending ``origin``."""
        self._drop(origin)

    def _drop(self, origin: OriginId) -> None:
        self._wanted.pop(origin, None)
        self._behind.pop(origin, None)
        self._unplaced.pop(origin, None)

    @property
    def asks(self) -> bool:
        """Whether there is a :meth:`question`."""
        return bool(self._unplaced or self._suspect)

    def question(self) -> Question | None:
        """Return the look-up that the pass needs before it continues; ``None`` if there is none.

        Run :func:`answer_from` on a thread that may wait for the disk, and pass its result to :meth:`settle`.
        """
        if not self.asks:
            return None
        question = Question(self.at, self._unplaced, self._suspect)
        self._unplaced, self._suspect = {}, None
        return question

    def settle(self, answer: LogPosition) -> None:
        """Continue at ``answer``, which :func:`answer_from` found."""
        self.at = answer

    def take(self, at: LogPosition, data: bytes, following: LogPosition) -> bytes:
        """Return the wanted part of ``data``, read at ``at``: all of it, unchanged, in the common case."""
        if self._unplaced or at != self.at:
            return b""  # wanted while that was being read: rewind first
        stood_at = LogRead(data, following).start
        try:
            batches = self.log.sound_batches(stood_at, data)
        except OffsetOutOfRangeError:
            return b""  # removed by retention meanwhile: the next read reports it
        self._left_out |= stood_at != at  # skipped a damaged control batch, or just the end of a segment
        self.at = following
        runs: list[tuple[int, int]] = []
        sound_bytes = 0
        sent = self.sent = dict[OriginId, tuple[SequenceNumber, int]]()
        for position, header in batches:
            sound_bytes += header.batch_bytes
            expected = self._wanted.get(header.origin)
            if expected is None or header.next_sequence <= expected:
                continue
            if header.base_sequence > expected:
                self._refuse(header.origin, expected, header.base_sequence)
                continue
            self._wanted[header.origin] = header.next_sequence
            sent[header.origin] = header.next_sequence, header.chain_crc
            end = position + header.batch_bytes
            if runs and runs[-1][1] == position:
                runs[-1] = (runs[-1][0], end)
            else:
                runs.append((position, end))
        for origin, (end, _) in sent.items():
            if end >= self._behind.get(origin, end):
                self._behind.pop(origin, None)
        if sound_bytes < len(data):
            self._left_out = True
            self._suspect = stood_at, len(data)
        if runs == [(0, len(data))]:
            return data
        return b"".join(data[start:end] for start, end in runs)

    def skip_unreadable(self, cause: DataLossError | OffsetOutOfRangeError) -> None:
        """Continue after the damage at ``at``, or at the log's start if retention removed that place."""
        try:
            self.at = self.log.after_damage(self.at) if isinstance(cause, DataLossError) else self._start()
        except OffsetOutOfRangeError:
            self.at = self._start()
        self._left_out = True

    def pass_over_everything(self) -> bool:
        """Move to the durable end if nothing before it is wanted; return whether it did."""
        end = self._look()
        if self._behind:
            return False
        self.at = end
        return True

    def _look(self) -> LogPosition:
        """Take in what moved in the log; return its durable end as of that moment."""
        change = self.log.moved_since(self._seen)
        self._seen = change.version
        for state in change.positions:
            self._untold[state.origin] = None
            if state.next_sequence > self._wanted.get(state.origin, state.next_sequence):
                self._behind[state.origin] = state.next_sequence
        return change.end

    @property
    def at_end(self) -> bool:
        """Whether the pass is at the durable end."""
        return self.at == self.log.end_position

    def events(self) -> list[Refusal]:
        """Return and clear the refusals to send."""
        if self._left_out:
            self._refuse_the_lost_ends()
        events, self._events = self._events, []
        return events

    def has_news(self) -> bool:
        """Whether :meth:`changed_positions` would return any."""
        self._look()
        return bool(self._untold)

    def changed_positions(self) -> list[Progress]:
        """Return up to ``MAX_TOLD`` positions not yet reported to the follower, and count them as reported."""
        self._look()
        origins = list(islice(self._untold, MAX_TOLD))
        for origin in origins:
            del self._untold[origin]
        return [state for state in map(self.log.progress, origins) if state is not None]

    @property
    def untold(self) -> int:
        """Number of positions not yet reported to the follower, as last seen."""
        return len(self._untold)

    def _can_serve(self, state: Progress, origin: OriginId, next_sequence: SequenceNumber, chain_crc: int) -> bool:
        if next_sequence < state.floor_sequence:
            self._say(origin, RefusalKind.BELOW_FLOOR, state.floor_sequence)
            return False
        if chain_crc and next_sequence == state.next_sequence and chain_crc != state.chain_crc:
            self._say(origin, RefusalKind.FORKED, next_sequence)
            return False
        if next_sequence < state.next_sequence:
            self._unplaced[origin] = next_sequence
        return True

    def _start(self) -> LogPosition:
        return LogPosition(self.log.start_offset, FilePosition(0))

    def _refuse(self, origin: OriginId, expected: SequenceNumber, found: SequenceNumber) -> None:
        self._drop(origin)
        state = self.log.progress(origin)
        removed = state is not None and expected < state.floor_sequence
        self._say(origin, RefusalKind.BELOW_FLOOR if removed else RefusalKind.DAMAGED, found)

    def _refuse_the_lost_ends(self) -> None:
        """Refuse origins that end in unreadable data: otherwise their follower would wait forever."""
        if self.at != self._look() or self._unplaced:
            return
        self._left_out = False
        for origin, end in list(self._behind.items()):
            self._refuse(origin, self._wanted[origin], end)

    def _say(self, origin: OriginId, kind: RefusalKind, sequence: SequenceNumber) -> None:
        self._events.append(Refusal(origin, kind, sequence))


def answer_from(question: Question, log: Log) -> LogPosition:
    """Return where a pass continues; recheck what did not check out. Reads the log.

    Raises:
        StorageError: The disk could not be read.
    """
    if question.suspect is not None:
        with suppress(OffsetOutOfRangeError, StorageError):  # the next read reports it
            log.recheck(*question.suspect)
    return min([question.at, *(_place_of(log, origin, sequence) for origin, sequence in question.wants.items())])


def _place_of(log: Log, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
    try:
        return log.seek_sequence(origin, sequence)
    except NotFoundError:
        # In a damaged range: the pass meets what follows it, and the refusal says where.
        return log.seek_before(origin, sequence)
