"""One follower's way through a log: which batches it is sent next, and what it is told when that is not possible.

One pass over the log in its own order serves all origins that a follower wants, since within a log each origin's
batches stand in sequence. No sockets, no waiting: :mod:`proglog.server.replication_service` brings those. ::

    want(origin, n)     behind the pass  ->  the pass goes back to it; origins already sent are passed over
                        below the floor  ->  BELOW_FLOOR          chains differ at n  ->  FORKED
    batch met           its sequence is the next wanted  ->  sent as it is stored
                        before it        ->  passed over
                        after it         ->  BELOW_FLOOR or DAMAGED, and the origin is wanted no more: never a hole
                        its checksums do not agree with it  ->  passed over, as if it were not there

All that is done for a message costs what has moved since the last one, and what is wanted: never the number of origins
in the log. Positions are told in portions, too, the longest untold first.

Checksums are looked at once more before bytes leave: they cost a tenth of a millisecond a megabyte, and a follower
that is sent rot can only hang up, while one that is told of damage asks somebody else.
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
"""Origins that one follower may want at a time: of more it wants others when it has these."""
MAX_TOLD = 1024
"""Positions that a follower is told in one message: of more, the next message tells the rest."""


class Question(NamedTuple):
    """What a pass has to know of the log, and only the disk can say."""

    at: LogPosition
    """Where it is."""
    wants: Mapping[OriginId, SequenceNumber]
    """Where it may have to go back to."""
    suspect: tuple[LogPosition, int] | None
    """Place and size of bytes that did not check out."""


class Feed:
    """Tell it what is wanted, read the log at ``at``, and give what was read to :meth:`take`."""

    def __init__(self, log: LogView) -> None:
        """Start at the durable end of ``log``, with nothing wanted."""
        self.log = log
        self.at = log.end_position
        """Where to read next."""
        self.sent: dict[OriginId, tuple[SequenceNumber, int]] = {}
        """Where what was last taken ends in each of its origins, and the chain checksum there: what will be reported next."""
        self._wanted: dict[OriginId, SequenceNumber] = {}
        self._events: list[Refusal] = []
        self._left_out = False
        """The pass went over something unreadable: what ended an origin may have stood there."""
        self._seen = 0
        """How much of what moves in the log was looked at."""
        self._untold: dict[OriginId, None] = {}
        """What has moved since the follower was told of it."""
        self._behind: dict[OriginId, SequenceNumber] = {}
        """What is wanted and not all sent: where the log reached when it was last looked at."""
        self._unplaced: dict[OriginId, SequenceNumber] = {}
        """What was wanted since the pass last went back."""
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
        self._wanted[origin] = next_sequence  # of an origin that is not here yet, too: it may be on its way
        self._behind.pop(origin, None)
        if state is not None and state.next_sequence > next_sequence:
            self._behind[origin] = state.next_sequence

    def unwant(self, origin: OriginId) -> None:
        """Send no more of ``origin``."""
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
        """Return what the pass has to know of the log before it goes on; ``None`` if there is nothing.

        Give :func:`answer_from` to whatever thread may wait for the disk, and what it returns to :meth:`settle`.
        """
        if not self.asks:
            return None
        question = Question(self.at, self._unplaced, self._suspect)
        self._unplaced, self._suspect = {}, None
        return question

    def settle(self, answer: LogPosition) -> None:
        """Go on at ``answer``, which :func:`answer_from` found."""
        self.at = answer

    def take(self, at: LogPosition, data: bytes, following: LogPosition) -> bytes:
        """Return what is wanted of ``data``, read at ``at``: all of it, unchanged, in the common case."""
        if self._unplaced or at != self.at:
            return b""  # wanted while that was being read: the pass goes back first
        stood_at = LogRead(data, following).start
        try:
            batches = self.log.sound_batches(stood_at, data)
        except OffsetOutOfRangeError:
            return b""  # retention was faster: the next read says so
        self._left_out |= stood_at != at  # a damaged control batch was passed over, or just the end of a segment
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
        """The log could not be read at ``at``: go on after what is damaged, or with what retention has left."""
        try:
            self.at = self.log.after_damage(self.at) if isinstance(cause, DataLossError) else self._start()
        except OffsetOutOfRangeError:
            self.at = self._start()
        self._left_out = True

    def pass_over_everything(self) -> bool:
        """Move to the durable end if nothing before it is wanted; return whether that is so."""
        end = self._look()
        if self._behind:
            return False
        self.at = end
        return True

    def _look(self) -> LogPosition:
        """Take in what has moved in the log; return its durable end as of that moment."""
        change = self.log.moved_since(self._seen)
        self._seen = change.version
        for state in change.positions:
            self._untold[state.origin] = None
            if state.next_sequence > self._wanted.get(state.origin, state.next_sequence):
                self._behind[state.origin] = state.next_sequence
        return change.end

    @property
    def at_end(self) -> bool:
        """Whether everything durable has been passed."""
        return self.at == self.log.end_position

    def events(self) -> list[Refusal]:
        """Return what the follower has to be told, and forget it."""
        if self._left_out:
            self._refuse_the_lost_ends()
        events, self._events = self._events, []
        return events

    def has_news(self) -> bool:
        """Whether :meth:`changed_positions` would return any."""
        self._look()
        return bool(self._untold)

    def changed_positions(self) -> list[Progress]:
        """Return the positions that the follower has not been told yet, at most ``MAX_TOLD``, and count them as told."""
        self._look()
        origins = list(islice(self._untold, MAX_TOLD))
        for origin in origins:
            del self._untold[origin]
        return [state for state in map(self.log.progress, origins) if state is not None]

    @property
    def untold(self) -> int:
        """How many positions the follower has not been told yet, as of the last look."""
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
        """Of some origins nothing follows what could not be read: without a word, a follower would wait for ever."""
        if self.at != self._look() or self._unplaced:
            return
        self._left_out = False
        for origin, end in list(self._behind.items()):
            self._refuse(origin, self._wanted[origin], end)

    def _say(self, origin: OriginId, kind: RefusalKind, sequence: SequenceNumber) -> None:
        self._events.append(Refusal(origin, kind, sequence))


def answer_from(question: Question, log: Log) -> LogPosition:
    """Return where a pass goes on; looks again at what did not check out. Reads the log.

    Raises:
        StorageError: The disk could not be read.
    """
    if question.suspect is not None:
        with suppress(OffsetOutOfRangeError, StorageError):  # whoever reads it next is told that
            log.recheck(*question.suspect)
    return min([question.at, *(_place_of(log, origin, sequence) for origin, sequence in question.wants.items())])


def _place_of(log: Log, origin: OriginId, sequence: SequenceNumber) -> LogPosition:
    try:
        return log.seek_sequence(origin, sequence)
    except NotFoundError:
        # It stands in a damaged range. What follows that range is met by the pass, which then says where.
        return log.seek_before(origin, sequence)
