"""A consumer's output: batches with verified checksums, and the range of wanted records in each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from proglog.client.cursor import Cursor
from proglog.errors import InvalidRequestError
from proglog.record import scan
from proglog.record.batch import VerifiedBatch
from proglog.record.record import StoredRecord
from proglog.types import OriginId, SequenceNumber, half_open


@dataclass(frozen=True, slots=True)
class FetchedBatch:
    """A batch whose checksums agree, and which of its offsets were asked for."""

    batch: VerifiedBatch
    start_offset: int
    end_offset: int
    before: Mapping[OriginId, SequenceNumber] = field(default_factory=dict, repr=False)
    """The position that its consumer was at, by origin."""

    @property
    def count(self) -> int:
        """How many records are wanted."""
        return self.end_offset - self.start_offset

    def values(self) -> Sequence[bytes]:
        """Return the values in ``[start_offset, end_offset)``: the fast path.

        Raises:
            MalformedBatchError: The columns do not agree with the header.
        """
        base = self.batch.header.base_offset
        values = scan.values(self.batch)
        if self.start_offset == base and self.end_offset == self.batch.header.end_offset:
            return values
        return values[self.start_offset - base : self.end_offset - base]

    def records(self) -> Iterator[StoredRecord]:
        """Yield the records in ``[start_offset, end_offset)``, with their places.

        Raises:
            MalformedBatchError: As :meth:`values`.
        """
        header = self.batch.header
        places = (max(0, offset - header.base_offset) for offset in (self.start_offset, self.end_offset))
        yield from islice(scan.records(self.batch), *places)

    @property
    def cursor(self) -> Cursor:
        """The position after this batch, valid on any node."""
        return self._cursor_at(self.end_offset)

    def cursor_after(self, record: StoredRecord) -> Cursor:
        """Return the position after one record of this batch: what to keep when it was dealt with, and no later one.

        Raises:
            InvalidRequestError: It is not of this batch.
        """
        header = self.batch.header
        place = record.offset - header.base_offset
        if (
            record.origin != header.origin
            or record.sequence - header.base_sequence != place
            or (not self.start_offset <= record.offset < self.end_offset)
        ):
            raise InvalidRequestError(
                f"the record at offset {record.offset} is not of this batch, which has"
                f" {half_open(self.start_offset, self.end_offset)}"
            )
        return self._cursor_at(record.offset + 1)

    def _cursor_at(self, offset: int) -> Cursor:
        header = self.batch.header
        return Cursor(
            {**self.before, header.origin: SequenceNumber(header.base_sequence + offset - header.base_offset)}
        )


class Gone(NamedTuple):
    """Sequences in ``[start, end)`` that a consumer did not get: this node, or every node, no longer has them."""

    origin: bytes
    start: int
    end: int
    reason: str


class Passed(NamedTuple):
    """Sequences in ``[start, end)`` that held no records: no consumer misses them, and a cursor passes them."""

    origin: bytes
    start: int
    end: int
