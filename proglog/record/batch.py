r"""The record batch: the unit of append, transfer and checksum. Bytes on disk are the bytes on the wire.

A batch is a header of 128 bytes and a payload. All integers are little-endian::

     0        4            8             16              24            28         32
    +--------+------------+-------------+---------------+-------------+----------+
    | mark   | header_crc | base_offset | append_time_ms| batch_bytes | group_at |    LOCAL: each node stamps its own
    +--------+------------+-------------+---------------+-------------+----------+
     32             36        37      38      40         56              64
    +--------------+---------+-------+-------+----------+---------------+-----------
    | portable_crc | version | codec | flags | origin   | base_sequence |            PORTABLE: the same on every node
    +--------------+---------+-------+-------+----------+---------------+-----------
     64              72             76          80             84               88
    +---------------+--------------+-----------+--------------+----------------+----
    | sequence_span | record_count | chain_crc | seal         | producer_epoch |
    +---------------+--------------+-----------+--------------+----------------+----
     88                   96                 104           120                 128
    +--------------------+------------------+-------------+-------------------+---------
    | first_timestamp_ms | max_timestamp_ms | producer_id | producer_sequence | payload ...
    +--------------------+------------------+-------------+-------------------+---------

* ``mark`` binds the batch to its log and position: see :mod:`proglog.record.place`. Only the store that holds the batch
  checks it: on the wire, and in a batch that no node has stored, it means nothing.
* ``group_at`` is the distance in bytes from the start of the write group to this batch. Everything before a group was
  synced before the group was written: recovery uses that to distinguish an unsynced tail from damage.
* ``header_crc`` covers bytes 8..128: a damaged length is detected before it is followed.
* ``portable_crc`` covers **the payload first, then bytes 36..128**. A node that stamps origin, sequence and chain
  continues the payload's checksum, which it has from verifying, over 92 bytes: the payload is hashed once.
* ``chain_crc`` hashes every batch of an origin up to this one, everything that a reader sees: two histories of one
  origin cannot look alike. ``version`` says how: in version 1 a link was sequence, span and payload only. A batch
  without a chain, as producers send it, has version 1.
* ``seal`` proves to the origin's own directory, and to no other, that the batch is its: see
  :mod:`proglog.record.seal`.
* A *data* batch holds ``record_count >= 1`` records and ``sequence_span == record_count``. A *control* batch holds
  none: it takes sequences but no offsets, so consumers never meet it. ``batch_bytes`` includes the header.
* Checksums are CRC-32C from a non-zero seed: a run of zeros is never a batch.

``docs/concepts/formats.md`` draws the same layout; a test holds the two together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from proglog.errors import InvalidRequestError, MalformedBatchError, RecordTooLargeError, UnknownBatchFormatError
from proglog.record import columns
from proglog.record.crc import crc
from proglog.types import NO_ORIGIN, Offset, OriginId, SequenceNumber

UNPLACED = b"\xa7PLB"
"""The mark of a batch that no log holds yet, and of all batches in logs of version 1."""
VERSION = 2
"""Version of a batch with a chain. Batches of version 1, from other nodes or earlier releases, keep theirs."""
FIRST_VERSION = 1
HEADER_BYTES = 128
MAX_BATCH_BYTES = 4_000_000
"""Most bytes of a new batch, header included: it and what is around it fit into the 4 MiB that gRPC clients receive."""
MAX_BATCH_RECORDS = MAX_BATCH_BYTES // 8
"""Most records of a new batch: an empty one costs two bytes, and a reader far more."""
MAX_STORED_BATCH_BYTES = 4 * 1024 * 1024
"""Most bytes of any batch: the first release made larger ones."""

CODEC_NONE = 0
FLAG_CONTROL = 1
"""The payload is a ``Control`` message; the batch takes sequences but no offsets."""
FLAG_GAP = 2
"""With ``FLAG_CONTROL``: no node could provide these sequences."""

NO_PRODUCER = bytes(16)
_STAMPED = ("base_offset", "append_time_ms", "group_at", "base_sequence", "chain_crc", "seal")
"""Fields that a producer leaves 0."""

_LOCAL_AND_PORTABLE = Struct("<4sIQQIIIBBH16sQQIIIIqq16sQ")
_LOCAL_TAIL = Struct("<QQII")  # base_offset, append_time_ms, batch_bytes, group_at
_PORTABLE_TAIL = Struct("<BBH16sQQIIIIqq16sQ")  # what portable_crc covers of the header
_U32 = Struct("<I")
_CHAIN_AT = 76
_SEAL_AT = 80
_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected
_CHAIN_LINK_1 = Struct("<QQI")  # of version 1: base_sequence, sequence_span, crc of the payload
assert _LOCAL_AND_PORTABLE.size == HEADER_BYTES  # the diagram is the contract


class BatchHeader(NamedTuple):
    """The fields of a header whose own checksum agrees, in the order of the diagram."""

    mark: bytes
    header_crc: int
    base_offset: Offset
    append_time_ms: int
    batch_bytes: int
    group_at: int
    portable_crc: int
    version: int
    codec: int
    flags: int
    origin: OriginId
    base_sequence: SequenceNumber
    sequence_span: int
    record_count: int
    chain_crc: int
    seal: int
    producer_epoch: int
    first_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: bytes
    producer_sequence: int

    @property
    def end_offset(self) -> Offset:
        """One past the last record's offset; the base offset for a control batch."""
        return Offset(self.base_offset + self.record_count)

    @property
    def next_sequence(self) -> SequenceNumber:
        """One past the last sequence that the batch takes."""
        return SequenceNumber(self.base_sequence + self.sequence_span)

    @property
    def is_control(self) -> bool:
        """Whether the batch holds no records."""
        return bool(self.flags & FLAG_CONTROL)

    @property
    def is_gap(self) -> bool:
        """Whether the batch records sequences that no node could provide."""
        return bool(self.flags & FLAG_GAP)


@dataclass(frozen=True, slots=True)
class VerifiedBatch:
    """A batch whose checksums and columns are valid."""

    header: BatchHeader
    """Its header as it came."""

    data: memoryview
    """The whole batch, header included."""

    payload_crc: int
    """Checksum of the payload only: stamping continues from it."""

    @property
    def payload(self) -> memoryview:
        """The batch without its header."""
        return self.data[HEADER_BYTES:]


def encode(
    payload: bytes,
    *,
    count: int,
    first_timestamp_ms: int,
    max_timestamp_ms: int,
    flags: int = 0,
    sequence_span: int | None = None,
    producer_id: bytes = NO_PRODUCER,
    producer_epoch: int = 0,
    producer_sequence: int = 0,
) -> bytes:
    """Return a batch that no node has stamped yet: no origin, no sequence, no offset.

    Args:
        payload: A serialized ``RecordColumns``, or ``Control`` with ``FLAG_CONTROL``.
        count: Records in it; 0 for a control batch.
        first_timestamp_ms: Of the first record, milliseconds since 1970; what the timestamp column counts from.
        max_timestamp_ms: The latest of the batch.
        flags: ``FLAG_*``.
        sequence_span: Sequences that the batch takes; ``count`` if left out.
        producer_id: 16 bytes that name a producer across its retries; zeros for none.
        producer_epoch: Which life of that producer.
        producer_sequence: Ordinal of the batch's first record within that life.

    Raises:
        RecordTooLargeError: The batch would have more than ``MAX_BATCH_BYTES``.
        InvalidRequestError: A timestamp does not fit into 64 bits.
    """
    batch_bytes = HEADER_BYTES + len(payload)
    if batch_bytes > MAX_BATCH_BYTES:
        raise RecordTooLargeError(batch_bytes, MAX_BATCH_BYTES)
    for timestamp_ms in (first_timestamp_ms, max_timestamp_ms):
        if not -(1 << 63) <= timestamp_ms < 1 << 63:
            raise InvalidRequestError(f"timestamp {timestamp_ms} ms does not fit into 64 bits")
    portable = _PORTABLE_TAIL.pack(
        FIRST_VERSION,
        CODEC_NONE,
        flags,
        NO_ORIGIN,
        0,
        count if sequence_span is None else sequence_span,
        count,
        0,
        0,
        producer_epoch,
        first_timestamp_ms,
        max_timestamp_ms,
        producer_id,
        producer_sequence,
    )
    return _checked(UNPLACED, _LOCAL_TAIL.pack(0, 0, batch_bytes, 0), portable, crc(payload)) + payload


def parse_header(data: bytes | bytearray | memoryview, position: int = 0) -> BatchHeader:
    """Return the header at ``position`` after checking its own checksum and the sense of its fields.

    The payload is not checked: it may be damaged or missing. Nor is the mark: only a store knows the right one.

    Raises:
        UnknownBatchFormatError: Whole, but of a version, codec or flag that is not known here.
        MalformedBatchError: Too short, a wrong checksum, or fields that contradict each other.
    """
    if len(data) - position < HEADER_BYTES:
        raise MalformedBatchError(f"a batch header has {HEADER_BYTES} bytes; {len(data) - position} are left")
    header = BatchHeader._make(_LOCAL_AND_PORTABLE.unpack_from(data, position))
    if crc(data[position + 8 : position + HEADER_BYTES]) != header[1]:
        raise MalformedBatchError("the batch header's checksum does not match")
    _, _, base_offset, _, batch_bytes, _, _, version, codec, flags, _, base_sequence, span, count, *_ = header
    if not FIRST_VERSION <= version <= VERSION:
        raise UnknownBatchFormatError(f"batch format version {version}")
    if codec != CODEC_NONE:
        raise UnknownBatchFormatError(f"batch codec {codec}")
    if flags & ~(FLAG_CONTROL | FLAG_GAP):
        raise UnknownBatchFormatError(f"batch flag {flags & ~(FLAG_CONTROL | FLAG_GAP):#x}")
    if not HEADER_BYTES <= batch_bytes <= MAX_STORED_BATCH_BYTES:
        raise MalformedBatchError(f"batch length {batch_bytes} is not in [{HEADER_BYTES}, {MAX_STORED_BATCH_BYTES}]")
    sensible = not count and span >= 1 if flags & FLAG_CONTROL else not flags and 1 <= count == span
    if not sensible or base_sequence + span >= 1 << 63 or base_offset + count >= 1 << 63:
        raise MalformedBatchError(f"a batch with flags {flags} cannot have {count} records over {span} sequences")
    return header


def read_back(stamped: bytes) -> BatchHeader:
    """Return a header stamped just now, without checking its checksum.

    Raises:
        MalformedBatchError: Its offset or sequence does not fit into 63 bits.
    """
    header = BatchHeader._make(_LOCAL_AND_PORTABLE.unpack_from(stamped))
    if header.base_sequence + header.sequence_span >= 1 << 63 or header.base_offset + header.record_count >= 1 << 63:
        raise MalformedBatchError("the log has no room for another sequence or offset: they have 63 bits")
    return header


def unknown_format(data: bytes | bytearray | memoryview, position: int = 0) -> str:
    """Return the unknown version, codec or flag in the header at ``position``; empty if there is none.

    Its own checksum is valid: a later version wrote it, it isn't damaged.
    """
    if len(data) - position < HEADER_BYTES:
        return ""
    try:
        parse_header(data, position)
    except UnknownBatchFormatError as exc:
        return exc.what
    except MalformedBatchError:
        return ""
    return ""


def verify(data: bytes | bytearray | memoryview, position: int = 0) -> VerifiedBatch:
    """Return the batch at ``position`` after checking all of it: header, payload and column lengths.

    ``data`` is kept, not copied: it must not change afterwards.

    Raises:
        MalformedBatchError: As :func:`parse_header`; or the batch is cut short, its checksum is wrong, or a column
            does not have as many entries as the header says.
    """
    batch = verify_checksums(data, position)
    if not batch.header.is_control:
        columns.check(batch.payload, batch.header.record_count)
    return batch


def verify_produced(data: bytes | bytearray | memoryview) -> VerifiedBatch:
    """Return a producer's batch after checking all of it, and all that it claims.

    Raises:
        MalformedBatchError: As :func:`verify`.
        RecordTooLargeError: More than ``MAX_BATCH_BYTES``.
        InvalidRequestError: It is no unstamped data batch, or its times are not those of its records.
    """
    batch = verify_checksums(data)
    header = batch.header
    if header.batch_bytes != len(data):
        raise InvalidRequestError(f"one batch a message: it has {header.batch_bytes} bytes, the message {len(data)}")
    if header.batch_bytes > MAX_BATCH_BYTES:
        raise RecordTooLargeError(header.batch_bytes, MAX_BATCH_BYTES)
    if header.record_count > MAX_BATCH_RECORDS:
        raise InvalidRequestError(
            f"the batch has {header.record_count:,} records; the limit is {MAX_BATCH_RECORDS:,}: send several batches"
        )
    if header.is_control:
        raise InvalidRequestError("a producer's batch has records; control batches are the server's")
    unstamped = header.origin == NO_ORIGIN and header.version == FIRST_VERSION
    if not unstamped or any(getattr(header, name) for name in _STAMPED):
        raise InvalidRequestError(
            f"a producer's batch has version {FIRST_VERSION}, zeros for its origin, and 0 for {', '.join(_STAMPED)}: the"
            " server stamps it"
        )
    if header.producer_id == NO_PRODUCER and (header.producer_epoch or header.producer_sequence):
        raise InvalidRequestError("a producer epoch and sequence need a producer id: zeros name none")
    if header.producer_sequence + header.record_count >= 1 << 63:
        raise InvalidRequestError(f"producer sequence {header.producer_sequence}: expected one that fits into 63 bits")
    latest_ms = header.first_timestamp_ms + columns.check(batch.payload, header.record_count)
    if latest_ms != header.max_timestamp_ms:
        raise InvalidRequestError(
            f"max_timestamp_ms is {header.max_timestamp_ms}; the batch's latest record has {latest_ms}"
        )
    return batch


def verify_checksums(data: bytes | bytearray | memoryview, position: int = 0) -> VerifiedBatch:
    """Return the batch at ``position`` after checking both checksums, but not the columns.

    Enough for recovery, and for consumers, which check the columns as they read them.

    Raises:
        MalformedBatchError: As :func:`verify`, but for the columns.
    """
    header = parse_header(data, position)
    end = position + header.batch_bytes
    if end > len(data):
        raise MalformedBatchError(
            f"a batch of {header.batch_bytes} bytes is cut short: {len(data) - position} are left"
        )
    view = memoryview(data)
    payload_crc = crc(view[position + HEADER_BYTES : end])
    if crc(view[position + 36 : position + HEADER_BYTES], payload_crc) != header.portable_crc:
        raise MalformedBatchError("the batch's checksum does not match its contents")
    return VerifiedBatch(header, view[position:end], payload_crc)


def stamp_local(
    batch: VerifiedBatch,
    *,
    origin: OriginId,
    base_sequence: SequenceNumber,
    previous_chain: int,
    base_offset: Offset,
    append_time_ms: int,
    group_at: int = 0,
    mark: bytes = UNPLACED,
    seal: Callable[[bytes, int, int], int] = lambda *_: 0,
) -> bytes:
    """Return the header of ``batch`` as the next one of ``origin``, for a local produce.

    Args:
        batch: As the producer sent it.
        origin: Of this node's data directory.
        base_sequence: The origin's next.
        previous_chain: Chain checksum of the origin's previous batch, or :func:`chain_start`.
        base_offset: This log's end.
        append_time_ms: This node's clock, milliseconds since 1970.
        group_at: Bytes between the start of its write group and this batch.
        mark: Of the place at which it is written.
        seal: Makes the seal of the header's unsealed part, the payload's checksum and the chain before.

    Returns:
        ``HEADER_BYTES`` bytes, to be followed by the unchanged payload.
    """
    tail = _stamped_tail(batch, origin, base_sequence)
    sealed = _U32.pack(seal(tail, batch.payload_crc, previous_chain))
    at = _SEAL_AT - 36
    before, after = tail[:at], tail[at + 4 :]
    chain_crc = crc(b"".join((before, sealed, after, _U32.pack(batch.payload_crc))), previous_chain)
    tail = b"".join((before[:-4], _U32.pack(chain_crc), sealed, after))
    local = _LOCAL_TAIL.pack(base_offset, append_time_ms, batch.header.batch_bytes, group_at)
    return _checked(mark, local, tail, batch.payload_crc)


def stamp_gap(
    gap: VerifiedBatch, *, origin: OriginId, base_sequence: SequenceNumber, chain_crc: int, append_time_ms: int
) -> bytes:
    """Return the header of a gap batch whose chain checksum is that of the history behind it."""
    local = _LOCAL_TAIL.pack(0, append_time_ms, gap.header.batch_bytes, 0)
    tail = _with_chain(_stamped_tail(gap, origin, base_sequence), chain_crc)
    return _checked(UNPLACED, local, tail, gap.payload_crc)


def stamp_import(
    batch: VerifiedBatch, *, base_offset: Offset, append_time_ms: int, group_at: int = 0, mark: bytes = UNPLACED
) -> bytes:
    """Return the header of ``batch`` with this node's offset, time and mark; the portable part stays as it is."""
    local = _LOCAL_TAIL.pack(base_offset, append_time_ms, batch.header.batch_bytes, group_at)
    portable = batch.data[32:HEADER_BYTES]
    return b"".join((mark, _U32.pack(crc(portable, crc(local))), local, portable))


def chain_start(origin: OriginId) -> int:
    """Return the chain checksum before an origin's first batch."""
    return crc(origin)


def chain_link(batch: VerifiedBatch) -> bytes:
    """Return the chain's input of a stamped batch: the portable part without its checksums, and the payload's."""
    header = batch.header
    if header.version == FIRST_VERSION:
        return _CHAIN_LINK_1.pack(header.base_sequence, header.sequence_span, batch.payload_crc)
    return _with_chain(bytes(batch.data[36:HEADER_BYTES]), 0) + _U32.pack(batch.payload_crc)


def chain_agrees(batch: VerifiedBatch, previous_chain: int) -> bool:
    """Return whether ``batch`` continues the history whose chain checksum is ``previous_chain``."""
    return batch.header.chain_crc == crc(chain_link(batch), previous_chain)


def chain_before(batch: VerifiedBatch) -> int:
    """Return the chain checksum that ``batch`` continues."""
    link = chain_link(batch)
    # crc(link, x) is the checksum of a run of zeros from x, up to a constant: undo the constant, then the zeros.
    return _before_zeros(batch.header.chain_crc ^ crc(link, 0) ^ crc(bytes(len(link)), 0), len(link))


def _before_zeros(value: int, count: int) -> int:
    state = value ^ 0xFFFFFFFF
    for _ in range(8 * count):
        high = state >> 31
        state = ((state ^ (_POLYNOMIAL if high else 0)) << 1 & 0xFFFFFFFF) | high
    return state ^ 0xFFFFFFFF


def _stamped_tail(batch: VerifiedBatch, origin: OriginId, base_sequence: SequenceNumber) -> bytes:
    """Return the part of a header that ``portable_crc`` covers, without its chain checksum."""
    header = batch.header
    return _PORTABLE_TAIL.pack(
        VERSION,
        header.codec,
        header.flags,
        origin,
        base_sequence,
        header.sequence_span,
        header.record_count,
        0,
        0,
        header.producer_epoch,
        header.first_timestamp_ms,
        header.max_timestamp_ms,
        header.producer_id,
        header.producer_sequence,
    )


def _with_chain(tail: bytes, chain_crc: int) -> bytes:
    at = _CHAIN_AT - 36
    return b"".join((tail[:at], _U32.pack(chain_crc), tail[at + 4 :]))


def portable_unsealed(tail: bytes) -> bytes:
    """Return bytes 36..128 of a header with chain checksum and seal 0."""
    return _with_seal(_with_chain(tail, 0), 0)


def _with_seal(tail: bytes, seal: int) -> bytes:
    at = _SEAL_AT - 36
    return b"".join((tail[:at], _U32.pack(seal), tail[at + 4 :]))


def _checked(mark: bytes, local: bytes, portable_tail: bytes, payload_crc: int) -> bytes:
    portable = _U32.pack(crc(portable_tail, payload_crc)) + portable_tail
    return b"".join((mark, _U32.pack(crc(portable, crc(local))), local, portable))
