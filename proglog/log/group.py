"""The batches of one write: stamped one after the other, then written and synced together."""

from collections.abc import Mapping
from dataclasses import dataclass

from proglog.errors import ForkedOriginError, SequenceGapError
from proglog.log.files import Buffer
from proglog.log.model import AlreadyHeld, Append, Appended, LocalAppend, OriginState, Outcome
from proglog.record import control
from proglog.record.batch import (
    BatchHeader,
    VerifiedBatch,
    chain_agrees,
    chain_start,
    parse_header,
    stamp_import,
    stamp_local,
)
from proglog.record.columns_pb2 import OriginStart
from proglog.types import Offset, OriginId
from proglog.types import Sequence as SequenceNumber


@dataclass(slots=True)
class Stamped:
    """A batch with its new header, ready to be written."""

    header: BatchHeader
    parts: tuple[Buffer, Buffer]
    result: Appended
    node_name: str
    """Of an origin's first batch."""


class Group:
    """Stamps on top of a log's durable state; nothing of it holds until the log has written it."""

    def __init__(
        self,
        *,
        local_origin: OriginId,
        origins: Mapping[OriginId, OriginState],
        end_offset: Offset,
        append_time_ms: int,
    ) -> None:
        """Start after ``end_offset``, with what is durable of each origin."""
        self.stamped: list[Stamped] = []
        self.origins: dict[OriginId, OriginState] = {}
        """States of the origins that the group advances, as they are once it is durable."""
        self.bytes = 0
        self.append_time_ms = append_time_ms
        self._local_origin = local_origin
        self._durable = origins
        self._end_offset = end_offset

    def add(self, append: Append) -> Outcome:
        """Stamp one more; an ``Appended`` holds once the group is durable."""
        if isinstance(append, LocalAppend):
            return self._stamp(self._local_header(append.batch), append.batch)
        return self._import(append.batch)

    def _local_header(self, batch: VerifiedBatch) -> bytes:
        origin = self._local_origin
        state = self._state(origin)
        return stamp_local(
            batch,
            origin=origin,
            base_sequence=state.next_sequence if state else SequenceNumber(1),
            previous_chain=state.chain_crc if state else chain_start(origin),
            base_offset=self._end_offset,
            append_time_ms=self.append_time_ms,
            group_at=self.bytes,
        )

    def _import(self, batch: VerifiedBatch) -> Outcome:
        header = batch.header
        state = self._state(header.origin)
        expected = state.next_sequence if state else SequenceNumber(1)
        if header.next_sequence <= expected:
            return AlreadyHeld(header.origin, expected)
        if header.origin == self._local_origin or header.base_sequence < expected:
            return ForkedOriginError(header.origin, expected)
        if header.base_sequence > expected:
            return SequenceGapError(header.origin, expected, header.base_sequence)
        chain = state.chain_crc if state else chain_start(header.origin)
        if not header.is_gap and not chain_agrees(batch, chain):
            return ForkedOriginError(header.origin, expected)
        stamped = stamp_import(
            batch, base_offset=self._end_offset, append_time_ms=self.append_time_ms, group_at=self.bytes
        )
        return self._stamp(stamped, batch)

    def _stamp(self, stamped: bytes, batch: VerifiedBatch) -> Appended:
        header = parse_header(stamped)
        before = self._state(header.origin)
        started_by = node_name_in(batch)
        self.origins[header.origin] = OriginState(
            next_sequence=header.next_sequence,
            chain_crc=header.chain_crc,
            floor_sequence=before.floor_sequence if before else header.base_sequence,
            last_append_ms=self.append_time_ms,
            bytes=header.batch_bytes + (before.bytes if before else 0),
            node_name=started_by or (before.node_name if before else ""),
        )
        result = Appended(
            base_offset=header.base_offset,
            end_offset=header.end_offset,
            origin=header.origin,
            base_sequence=header.base_sequence,
            next_sequence=header.next_sequence,
            batch_bytes=header.batch_bytes,
        )
        self.stamped.append(Stamped(header, (stamped, batch.payload), result, started_by))
        self._end_offset = header.end_offset
        self.bytes += header.batch_bytes
        return result

    def _state(self, origin: OriginId) -> OriginState | None:
        return self.origins.get(origin) or self._durable.get(origin)


def node_name_in(batch: VerifiedBatch) -> str:
    """Return whose directory an origin's first batch says it is of; empty for any other batch."""
    if not batch.header.is_control or batch.header.is_gap:
        return ""
    said = control.parse(batch.payload)
    return said.node_name if isinstance(said, OriginStart) else ""
