"""A producer's unsettled records: batches, their bytes, deadlines and sequence numbers. Pure.

::

    take ---> gathering ---> sealed ---> in flight ---> settled: written, refused or unknown
               |  full, its linger is over, or        ^   |
               +- awaited while nothing is in flight  +---+  the stream broke: back, in order, to be sent again

Every batch gets exactly one outcome, and every record has that of its batch. Batches are numbered in the order of
sending, within a *life*: when one of them is given up, the log would refuse those behind it as a gap, so they begin a new
life, a higher epoch of the same producer. The log refuses whatever arrives late from a life before: a batch of unknown
outcome is in the log ahead of its successors, or nowhere behind them.

Source: KIP-98 (idempotent producer: id, epoch, sequence; bounded in flight), KIP-360 (a new epoch after a failed batch).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from proglog.client.sizes import RECORD_BYTES, VALUE_BYTES
from proglog.errors import ProglogError
from proglog.record import batch, columns
from proglog.record.batch import HEADER_BYTES
from proglog.record.record import Record
from proglog.wire.contract import LEAST_WINDOW

MAX_BATCHES = 32
"""Batches without an outcome beside the one that gathers: with more, the last would wait for many syncs."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A batch that is durable on as many nodes as asked for."""

    base_offset: int
    end_offset: int
    origin: bytes
    base_sequence: int
    copies: int = 1
    """Nodes on which it is known to be durable."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The reason why too few nodes confirmed a batch."""

    cause: ProglogError
    unknown: bool
    """Whether it may be in the log; else it is not."""
    unconfirmed: bool = False
    """Whether it is durable on the agent, and not known to be on as many nodes as asked for."""


Outcome = Acknowledged | Failed


@dataclass(slots=True, eq=False)
class Batch:
    """Records that go together."""

    number: int
    """Ordinal of its first record among all that were taken, from 0."""
    deadline: float
    """When it is given up."""
    ripe_at: float
    """When it stops waiting to be filled."""
    granted: int = 0
    """Bytes that it may take without asking again, while it gathers; later all that it takes."""
    left: int = 0
    """Of these, what is not taken yet."""
    padding: int = 0
    """Of its size, what is no byte of its values, keys and headers."""
    count: int = 0
    """Its records; of the batch that gathers, those that are in the tally."""
    counted_bytes: int = 0
    values: list[bytes] = field(default_factory=list)
    """Of each record."""
    others: dict[int, Record] = field(default_factory=dict)
    """Its records with keys or headers, by index."""
    stamps: list[tuple[int, int]] = field(default_factory=list)
    """Where a run of equal timestamps begins, and the timestamp."""
    stamp_ms: int | None = None
    """The last timestamp."""
    payload: bytes = b""
    """Its columns, once they are built: the records are dropped then."""
    data: bytes = b""
    """Header and payload, once it has its sequence."""
    tries: int = 0
    """Calls on which it was sent."""
    outcome: Outcome | None = None
    told: set[int] = field(default_factory=set)
    """Of a failed batch: the records whose caller already got the error."""

    @property
    def size(self) -> int:
        """Bytes that it takes at most, without its header."""
        return self.granted - self.left


@dataclass(slots=True)
class Tally:
    """Counts of a producer's records by outcome; ``waiting`` counts those without one yet."""

    taken: int = 0
    acknowledged: int = 0
    """Durable on as many nodes as asked for."""
    acknowledged_bytes: int = 0
    """Bytes of their values, keys and headers."""
    unconfirmed: int = 0
    """Durable on the agent, and not known to be on as many nodes as asked for; also counted in ``unknown``."""
    unknown: int = 0
    """May or may not be in the log."""
    refused: int = 0
    """Refused or never sent: not in the log."""

    @property
    def waiting(self) -> int:
        """Records without an outcome yet."""
        return self.taken - self.acknowledged - self.unknown - self.refused


class Accumulator:
    """Batches of one producer, in order. All times are seconds of one clock of the caller's."""

    def __init__(
        self,
        producer_id: bytes,
        *,
        batch_bytes: int,
        in_flight: int,
        linger: float,
        delivery_timeout: float,
        max_bytes: int,
    ) -> None:
        """Start empty.

        Args:
            producer_id: 16 bytes; zeros: not idempotent, nothing is sent twice.
            batch_bytes: A batch is sealed when it has about so many.
            in_flight: Batches sent and not answered, at most.
            linger: Seconds that a batch waits for company.
            delivery_timeout: Seconds until a batch is given up.
            max_bytes: Bytes without an outcome, beyond which the batch that gathers has no room of its own.
        """
        self._tally = Tally()
        self._buffered_bytes = 0
        self._max_bytes = max_bytes
        self.gathering: Batch | None = None
        self.urgent = False
        """Whether a caller waits for the gathered batch: it is sent as soon as nothing is in flight."""
        self.in_flight: deque[Batch] = deque()
        self.batch_bytes = batch_bytes
        self._sealed: deque[Batch] = deque()
        self.identity = producer_id
        self._idempotent = any(producer_id)
        self._most_in_flight = in_flight
        self._max_in_flight = min(in_flight, LEAST_WINDOW) if self._idempotent else in_flight
        self._linger = linger
        self._delivery_timeout = delivery_timeout
        self._epoch = 0
        self._sequence = 0

    @property
    def tally(self) -> Tally:
        """Counts of the records, by outcome."""
        self._count()
        return self._tally

    @property
    def buffered_bytes(self) -> int:
        """Of all batches without an outcome."""
        self._count()
        return self._buffered_bytes

    def _count(self) -> None:
        """Count what has joined the batch that gathers: not at each record, which would cost a tenth of taking it."""
        gathered = self.gathering
        if gathered is not None and gathered.count < (count := len(gathered.values)):
            self._tally.taken += count - gathered.count
            self._buffered_bytes += gathered.size - gathered.counted_bytes
            gathered.count, gathered.counted_bytes = count, gathered.size

    def remember(self, window: int) -> None:
        """Keep at most ``window`` batches in flight, if they may be sent again: the log remembers no more than that."""
        if self._idempotent:
            self._max_in_flight = min(self._most_in_flight, window)

    @property
    def has_unsent(self) -> bool:
        """Whether a batch that is sealed waits to be sent."""
        return bool(self._sealed)

    @property
    def crowded(self) -> bool:
        """Whether a batch more would wait too long for those before it."""
        return len(self.in_flight) + len(self._sealed) >= MAX_BATCHES

    @property
    def empty(self) -> bool:
        """Whether every record taken has an outcome."""
        return not (self.in_flight or self._sealed or self.gathering)

    @property
    def last(self) -> Batch | None:
        """The youngest batch without an outcome: when it has one, all that were taken before have."""
        if self.gathering is not None:
            return self.gathering
        return self._sealed[-1] if self._sealed else self.in_flight[-1] if self.in_flight else None

    @property
    def sent_records(self) -> int:
        """Records that were sent, on this call or one before, and have no outcome."""
        return sum(each.count for each in (*self.in_flight, *self._sealed) if each.tries)

    @property
    def next_deadline(self) -> float | None:
        """When the oldest batch is given up."""
        oldest = next(self._batches(), None)
        return None if oldest is None else oldest.deadline

    def _batches(self) -> Iterator[Batch]:
        yield from self.in_flight
        yield from self._sealed
        if self.gathering is not None:
            yield self.gathering

    # Taking

    def open_batch(self, now: float, since: float) -> Batch:
        """Return the batch that gathers from now on; the one before, if any, is sealed.

        Args:
            now: The time.
            since: When its first record was handed over.
        """
        self.seal()
        opened = Batch(self.tally.taken, since + self._delivery_timeout, now + self._linger)
        self.gathering = opened
        self.make_room()
        return opened

    def make_room(self) -> None:
        """Let records join the batch that gathers, up to the size of a batch and what may be buffered."""
        gathered = self.gathering
        if gathered is not None:
            size = gathered.size
            gathered.granted = min(self.batch_bytes, self._max_bytes - self.buffered_bytes + size)
            gathered.left = gathered.granted - size

    def leave_no_room(self) -> None:
        """Let no further record join the batch that gathers before it was asked whether it may."""
        if self.gathering is not None:
            self.gathering.granted, self.gathering.left = 0, -self.gathering.size

    def take_values(self, values: list[bytes], size: int, time_ms: int, since: float) -> Batch:
        """Take records that are nothing but values as a batch of their own; a record too large is refused before."""
        self.seal()
        taken = Batch(
            self.tally.taken,
            since + self._delivery_timeout,
            0.0,
            granted=size,
            padding=VALUE_BYTES * len(values),
            count=len(values),
            values=values,
            stamps=[(0, time_ms)],
        )
        self._sealed.append(taken)
        self._tally.taken += len(values)
        self._buffered_bytes += size
        return taken

    def seal(self) -> None:
        """Let nothing more into the batch that gathers."""
        if self.gathering is not None:
            self._count()
            self.gathering.padding += RECORD_BYTES * self.gathering.count
            self._sealed.append(self.gathering)
            self.gathering = None
            self.urgent = False

    # Sending

    def next_to_send(self, now: float, *, all_of_it: bool = False) -> Batch | None:
        """Return the next batch to send, which counts as sent from now on, or ``None`` while there is none.

        Args:
            now: The time.
            all_of_it: Nothing has to wait for company any longer.
        """
        self._build()
        while len(self.in_flight) < self._max_in_flight:
            if not self._sealed:
                gathered = self.gathering
                if gathered is None:
                    return None
                if now < gathered.ripe_at and not all_of_it and not (self.urgent and not self.in_flight):
                    return None
                self.seal()
                self._build()
            chosen = self._sealed.popleft()
            if not chosen.data:
                self._number(chosen)
            chosen.tries += 1
            self.in_flight.append(chosen)
            return chosen
        return None

    def _build(self) -> None:
        """Build the columns of what was sealed: thousands of records that wait cost the garbage collector's time."""
        for sealed in reversed(self._sealed):
            if sealed.payload or sealed.data:
                return
            sealed.payload = columns.from_parts(sealed.values, _deltas(sealed), sealed.others)
            sealed.values, sealed.others = [], {}

    def _number(self, chosen: Batch) -> None:
        """Give a batch its sequence."""
        chosen.data = batch.encode(
            chosen.payload,
            count=chosen.count,
            first_timestamp_ms=chosen.stamps[0][1],
            max_timestamp_ms=max(time_ms for _, time_ms in chosen.stamps),
            producer_id=self.identity,
            producer_epoch=self._epoch,
            producer_sequence=self._sequence,
        )
        chosen.payload = b""
        self._sequence += chosen.count if self._idempotent else 0

    # What comes of it

    def answered(self, outcome: Outcome) -> Batch:
        """Settle the oldest batch in flight; return it."""
        oldest = self.in_flight.popleft()
        self._settle(oldest, outcome)
        return oldest

    def broke(self, cause: ProglogError) -> list[Batch]:
        """Take back what was in flight when the stream broke; return what is settled by that."""
        if not self._idempotent:
            return self._give_up(self._all_tried(), Failed(cause, unknown=True))
        self._take_back()
        return []

    def not_taken(self) -> None:
        """Take back what was in flight: nothing of it was appended on this call.

        A copy that was sent on a call before may still be on its way, and be appended when it arrives.
        """
        for each in self.in_flight:
            each.tries -= 1
        self._take_back()

    def _take_back(self) -> None:
        self._sealed.extendleft(reversed(self.in_flight))
        self.in_flight.clear()

    def refused(self, cause: ProglogError) -> list[Batch]:
        """Settle the oldest batch in flight, which the server refused: those behind it on this call were not appended.

        What was sent on a call before may have been appended then.
        """
        tried_before = [each for each in self.in_flight if each.tries > 1]
        if tried_before:
            return self.abandon(cause)
        oldest = self.in_flight.popleft()
        self.not_taken()
        return self._give_up([oldest], Failed(cause, unknown=False))

    def abandon(self, cause: ProglogError) -> list[Batch]:
        """Give up everything that was sent, as unknown; the rest begins a new life. Return what is settled by that."""
        return self._give_up(self._all_tried(), Failed(cause, unknown=True))

    def expire(self, now: float, cause: ProglogError) -> list[Batch]:
        """Give up what has been here too long; return it. What was sent is unknown, and everything sent with it."""
        oldest = next(iter(self._batches()), None)
        if oldest is None or oldest.deadline > now:
            return []
        settled = self.abandon(cause) if oldest.tries else []
        late = []
        for each in self._batches():
            if each.deadline > now:
                break
            late.append(each)
        return settled + self._give_up(late, Failed(cause, unknown=False))

    def fail(self, cause: ProglogError) -> list[Batch]:
        """Settle everything; return it."""
        settled = self.abandon(cause)
        return settled + self._give_up(list(self._batches()), Failed(cause, unknown=False))

    def _all_tried(self) -> list[Batch]:
        return [each for each in self._batches() if each.tries]

    def _give_up(self, given_up: list[Batch], outcome: Failed) -> list[Batch]:
        """Settle these, the oldest ones, and begin a new life with the rest if one of them had a number in this one."""
        numbered = any(each.data for each in given_up)
        self._count()
        for each in given_up:
            self._settle(each, outcome)
        self.in_flight = deque(each for each in self.in_flight if each.outcome is None)
        self._sealed = deque(each for each in self._sealed if each.outcome is None)
        if self.gathering is not None and self.gathering.outcome is not None:
            self.gathering = None
        if numbered:
            self.begin_life()
        return given_up

    def begin_life(self) -> None:
        """Number what is not in flight anew, in a higher epoch: the log that gets it knows nothing of what precedes it."""
        if not self._idempotent:
            return
        self._epoch += 1
        self._sequence = 0
        for each in self._sealed:
            if each.data:
                each.payload, each.data = each.data[HEADER_BYTES:], b""

    def _settle(self, settled: Batch, outcome: Outcome) -> None:
        assert settled.outcome is None, "one outcome each"
        settled.outcome = outcome
        tally = self._tally
        if isinstance(outcome, Acknowledged):
            tally.acknowledged += settled.count
            tally.acknowledged_bytes += settled.size - settled.padding
        elif outcome.unknown:
            tally.unknown += settled.count
            tally.unconfirmed += settled.count if outcome.unconfirmed else 0
        else:
            tally.refused += settled.count
        self._buffered_bytes -= settled.size
        settled.values, settled.others, settled.stamps = [], {}, []
        settled.payload = settled.data = b""


def _deltas(sealed: Batch) -> list[int]:
    """Return each record's timestamp, from the first one's; nothing if all are equal."""
    if len(sealed.stamps) == 1:
        return []
    first_ms = sealed.stamps[0][1]
    deltas: list[int] = []
    for (start, time_ms), (end, _) in pairwise([*sealed.stamps, (sealed.count, 0)]):
        deltas += [time_ms - first_ms] * (end - start)
    return deltas
