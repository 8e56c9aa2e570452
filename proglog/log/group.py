"""The batches of one write: stamped one after the other, then written and synced together."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from proglog.errors import ForkedOriginError, MalformedBatchError, SequenceGapError, UnavailableError
from proglog.log.files import Buffer
from proglog.log.model import AlreadyHeld, Append, Appended, Duplicate, LocalAppend, Outcome
from proglog.log.producers import Producers, ProducerState, advance, judge, may_be_hidden
from proglog.record import control
from proglog.record.batch import (
    NO_PRODUCER,
    BatchHeader,
    VerifiedBatch,
    chain_agrees,
    chain_start,
    read_back,
    stamp_import,
    stamp_local,
)
from proglog.record.place import Places
from proglog.record.seal import seal_of
from proglog.replication.progress import Progress
from proglog.replication.ranges import NO_RANGES
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber


class Stamped(NamedTuple):
    """A batch with its new header, ready to be written."""

    header: BatchHeader
    parts: tuple[Buffer, Buffer]
    result: Appended
    data: control.ControlData
    """The parsed message of a control batch."""

    @property
    def node_name(self) -> str:
        """The node named by an origin's first batch; empty for any other batch."""
        return control.node_name(self.data)


@dataclass(slots=True)
class _Tail:
    """An origin's progress while the group grows."""

    next_sequence: SequenceNumber
    chain_crc: int
    before: Progress | None
    first_sequence: SequenceNumber
    bytes: int = 0
    node_name: str = ""


class Group:
    """Stamps batches on top of a log's durable state; the result counts only once the log has written it."""

    def __init__(
        self,
        *,
        local_origin: OriginId,
        key: bytes,
        origins: Mapping[OriginId, Progress],
        places: Places,
        position: FilePosition,
        end_offset: Offset,
        append_time_ms: int,
        producers: Producers | None = None,
        hidden_until: Offset = Offset(0),  # noqa: B008 - NewType is the identity
    ) -> None:
        """Start at ``position`` of a segment, after ``end_offset``, with the durable state of each origin and producer."""
        self.stamped: list[Stamped] = []
        self.informative: list[Stamped] = []
        """Batches that change derived state: control batches, and those of producers with an id."""
        self.bytes = 0
        self.append_time_ms = append_time_ms
        self._local_origin = local_origin
        self._seal = partial(seal_of, key)
        self._durable = origins
        self._places = places
        self._position = position
        self._end_offset = end_offset
        self._tails: dict[OriginId, _Tail] = {}
        self._producers = Producers() if producers is None else producers
        self._hidden_until = hidden_until
        self._fresh_producers: dict[bytes, ProducerState] = {}

    def origins(self) -> dict[OriginId, Progress]:
        """Return the progress in the origins that the group advances, as of when it is durable."""
        return {origin: self._progress(origin, tail) for origin, tail in self._tails.items() if tail.bytes}

    def add(self, append: Append) -> Outcome:
        """Stamp one more batch; an ``Appended`` or ``Duplicate`` counts once the group is durable."""
        try:
            if not isinstance(append, LocalAppend):
                return self._import(append.batch)
            if append.batch.header.producer_id != NO_PRODUCER:
                return self._produce(append.batch)
            return self._stamp(self._local_header(append.batch), append.batch)
        except MalformedBatchError as exc:
            return exc

    def _produce(self, batch: VerifiedBatch) -> Outcome:
        """Stamp a batch of an idempotent producer, unless it is a duplicate or out of sequence."""
        header = batch.header
        if header.is_control:
            return self._stamp(self._local_header(batch), batch)
        producer_id = header.producer_id
        known = self._fresh_producers.get(producer_id) or self._producers.get(producer_id)
        verdict = judge(known, header)
        if not isinstance(verdict, Appended) and may_be_hidden(known, header, self._hidden_until):
            return UnavailableError("damage may hide what this producer sent last: repair will tell, try again")
        if verdict is not None:
            return Duplicate(verdict) if isinstance(verdict, Appended) else verdict
        appended = self._stamp(self._local_header(batch), batch)
        self._fresh_producers[producer_id] = advance(known, self.stamped[-1].header)
        return appended

    def _local_header(self, batch: VerifiedBatch) -> bytes:
        tail = self._tail(self._local_origin)
        return stamp_local(
            batch,
            origin=self._local_origin,
            base_sequence=tail.next_sequence,
            previous_chain=tail.chain_crc,
            base_offset=self._end_offset,
            append_time_ms=self.append_time_ms,
            group_at=self.bytes,
            mark=self._places.mark(self._position + self.bytes),
            seal=self._seal,
        )

    def _import(self, batch: VerifiedBatch) -> Outcome:
        header = batch.header
        tail = self._tail(header.origin)
        expected = tail.next_sequence
        if header.next_sequence <= expected:
            return AlreadyHeld(header.origin, expected)
        if header.origin == self._local_origin or header.base_sequence < expected:
            return ForkedOriginError(header.origin, expected)
        if header.base_sequence > expected:
            return SequenceGapError(header.origin, expected, header.base_sequence)
        if not header.is_gap and not chain_agrees(batch, tail.chain_crc):
            return ForkedOriginError(header.origin, expected)
        stamped = stamp_import(
            batch,
            base_offset=self._end_offset,
            append_time_ms=self.append_time_ms,
            group_at=self.bytes,
            mark=self._places.mark(self._position + self.bytes),
        )
        return self._stamp(stamped, batch)

    def _stamp(self, stamped: bytes, batch: VerifiedBatch) -> Appended:
        header = read_back(stamped)
        tail = self._tail(header.origin)
        data = control_data(batch) if header.flags else None
        end_offset = Offset(header.base_offset + header.record_count)
        tail.next_sequence = SequenceNumber(header.base_sequence + header.sequence_span)
        tail.chain_crc = header.chain_crc
        tail.bytes += header.batch_bytes
        result = Appended(
            header.base_offset, end_offset, header.origin, header.base_sequence, tail.next_sequence, header.batch_bytes
        )
        each = Stamped(header, (stamped, batch.payload), result, data)
        self.stamped.append(each)
        if data is not None or header.producer_id != NO_PRODUCER:
            self.informative.append(each)
            tail.node_name = each.node_name or tail.node_name
        self._end_offset = end_offset
        self.bytes += header.batch_bytes
        return result

    def _tail(self, origin: OriginId) -> _Tail:
        tail = self._tails.get(origin)
        if tail is None:
            before = self._durable.get(origin)
            following = before.next_sequence if before else SequenceNumber(1)
            chain = before.chain_crc if before else chain_start(origin)
            tail = self._tails[origin] = _Tail(following, chain, before, following)
        return tail

    def _progress(self, origin: OriginId, tail: _Tail) -> Progress:
        before = tail.before
        return Progress(
            origin=origin,
            next_sequence=tail.next_sequence,
            chain_crc=tail.chain_crc,
            floor_sequence=before.floor_sequence if before else tail.first_sequence,
            last_append_ms=self.append_time_ms,
            bytes=tail.bytes + (before.bytes if before else 0),
            node_name=tail.node_name or (before.node_name if before else ""),
            gaps=before.gaps if before else NO_RANGES,
            damaged=before.damaged if before else NO_RANGES,
        )


def control_data(batch: VerifiedBatch) -> control.ControlData:
    """Return what a batch says, if it is a control batch."""
    return control.parse(batch.payload) if batch.header.is_control else None


def node_name_in(batch: VerifiedBatch) -> str:
    """Return whose directory an origin's first batch says it is of; empty for any other batch."""
    return control.node_name(control_data(batch))
