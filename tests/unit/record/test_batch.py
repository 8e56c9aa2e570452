"""The batch: what a header says, and that nothing else passes for one."""

import re
from pathlib import Path

import pytest

from proglog.errors import InvalidRequestError, MalformedBatchError, RecordTooLargeError
from proglog.record import batch, columns, control, scan
from proglog.record.batch import (
    HEADER_BYTES,
    MAX_BATCH_BYTES,
    MAX_STORED_BATCH_BYTES,
    chain_agrees,
    chain_start,
    encode,
    parse_header,
    stamp_import,
    stamp_local,
    verify,
    verify_checksums,
)
from proglog.record.columns_pb2 import OriginStart
from proglog.record.place import Places
from proglog.types import NO_ORIGIN, LogId, NodeName, Offset, OriginId, SequenceNumber

ORIGIN = OriginId(b"o" * 16)


def plain(*values: bytes) -> bytes:
    return encode(columns.from_values(list(values)), count=len(values), first_timestamp_ms=5, max_timestamp_ms=9)


def stamped(
    *values: bytes, sequence: int = 1, chain: int | None = None, offset: int = 0, mark: bytes = batch.UNPLACED
) -> bytes:
    before = verify(plain(*values))
    header = stamp_local(
        before,
        origin=ORIGIN,
        base_sequence=SequenceNumber(sequence),
        previous_chain=chain_start(ORIGIN) if chain is None else chain,
        base_offset=Offset(offset),
        append_time_ms=77,
        mark=mark,
    )
    return header + bytes(before.payload)


def test_a_producers_batch_belongs_to_no_origin_yet() -> None:
    header = verify(plain(b"a", b"b")).header
    assert (header.origin, header.base_sequence, header.base_offset) == (NO_ORIGIN, 0, 0)
    assert (header.record_count, header.sequence_span) == (2, 2)
    assert (header.first_timestamp_ms, header.max_timestamp_ms) == (5, 9)


def test_stamping_keeps_the_payload_and_fills_the_places() -> None:
    done = verify(stamped(b"a", b"b", sequence=7, offset=40))
    assert (done.header.origin, done.header.base_sequence, done.header.next_sequence) == (ORIGIN, 7, 9)
    assert (done.header.base_offset, done.header.end_offset, done.header.append_time_ms) == (40, 42, 77)
    assert bytes(done.payload) == columns.from_values([b"a", b"b"])


def test_a_copy_differs_in_its_local_part_only() -> None:
    before = stamped(b"a")
    header = stamp_import(verify(before), base_offset=Offset(9), append_time_ms=100, group_at=3)
    copy = header + before[HEADER_BYTES:]
    assert copy[32:] == before[32:]
    done = verify(copy).header
    assert (done.base_offset, done.append_time_ms, done.group_at) == (9, 100, 3)


def test_the_chain_ties_a_batch_to_all_before_it() -> None:
    first = verify(stamped(b"a"))
    second = verify(stamped(b"b", sequence=2, chain=first.header.chain_crc))
    other = verify(stamped(b"A"))
    assert chain_agrees(first, chain_start(ORIGIN))
    assert chain_agrees(second, first.header.chain_crc)
    assert not chain_agrees(second, other.header.chain_crc)
    assert not chain_agrees(second, chain_start(ORIGIN))


def test_every_flipped_bit_is_noticed_but_for_the_mark_which_a_store_checks() -> None:
    data = bytearray(stamped(b"some value", b"another"))
    for position in range(4, len(data)):
        for bit in range(8):
            data[position] ^= 1 << bit
            with pytest.raises(MalformedBatchError):
                verify(bytes(data))
            data[position] ^= 1 << bit
    verify(bytes(data))


def test_every_shorter_prefix_is_refused() -> None:
    data = stamped(b"some value")
    for size in range(len(data)):
        with pytest.raises(MalformedBatchError):
            verify(data[:size])


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES - 1, HEADER_BYTES, 4096, MAX_STORED_BATCH_BYTES])
def test_zeros_are_no_batch(size: int) -> None:
    with pytest.raises(MalformedBatchError):
        verify(bytes(size))


def test_nothing_has_a_checksum_of_zero() -> None:
    from proglog.record.crc import crc

    assert crc(b"") != 0
    assert crc(bytes(100)) != 0


def resealed(**changes: int) -> bytes:
    """A batch with other header fields and the checksums to go with them: what a hostile writer can make."""
    before = verify(plain(b"a"))
    header = before.header._replace(**changes)
    local = batch._LOCAL_TAIL.pack(header.base_offset, header.append_time_ms, header.batch_bytes, header.group_at)
    portable = batch._PORTABLE_TAIL.pack(*header[7:])
    return batch._checked(batch.UNPLACED, local, portable, before.payload_crc) + bytes(before.payload)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": 3},
        {"codec": 1},
        {"flags": 4},
        {"flags": 2},
        {"flags": 1},
        {"batch_bytes": HEADER_BYTES - 1},
        {"batch_bytes": MAX_STORED_BATCH_BYTES + 1},
        {"batch_bytes": 0},
        {"record_count": 0},
        {"record_count": 2},
        {"sequence_span": 2},
        {"record_count": 2, "sequence_span": 2},
        {"base_sequence": (1 << 63) - 1},
        {"base_sequence": (1 << 64) - 1},
        {"base_offset": (1 << 63) - 1},
    ],
)
def test_fields_that_contradict_each_other_are_refused_though_the_checksums_agree(changes: dict[str, int]) -> None:
    verify(resealed())
    with pytest.raises(MalformedBatchError):
        verify(resealed(**changes))


def test_the_largest_offset_and_sequence_fit() -> None:
    header = verify(resealed(base_offset=(1 << 63) - 2, base_sequence=(1 << 63) - 2)).header
    assert header.end_offset == header.next_sequence == (1 << 63) - 1


def test_a_record_too_large_for_a_batch_says_by_how_much() -> None:
    largest = MAX_BATCH_BYTES - HEADER_BYTES
    assert len(encode(bytes(largest), count=1, first_timestamp_ms=0, max_timestamp_ms=0)) == MAX_BATCH_BYTES
    with pytest.raises(RecordTooLargeError) as refused:
        encode(bytes(largest + 1), count=1, first_timestamp_ms=0, max_timestamp_ms=0)
    assert (refused.value.size_bytes, refused.value.limit_bytes) == (MAX_BATCH_BYTES + 1, MAX_BATCH_BYTES)


@pytest.mark.parametrize("time_ms", [1 << 63, -(1 << 63) - 1])
def test_a_time_that_does_not_fit_is_refused(time_ms: int) -> None:
    with pytest.raises(InvalidRequestError):
        encode(b"", count=1, first_timestamp_ms=time_ms, max_timestamp_ms=0)


def test_checksums_alone_leave_the_columns_to_the_reader() -> None:
    data = encode(columns.from_values([b"a"]), count=3, first_timestamp_ms=0, max_timestamp_ms=0)
    verify_checksums(data)
    with pytest.raises(MalformedBatchError, match="3 records"):
        verify(data)


def test_an_origins_first_batch_takes_a_sequence_and_no_offset() -> None:
    made = control.origin_start(
        NodeName("a"), now_ms=3, reason="why", previous_origin=ORIGIN, previous_next_sequence=SequenceNumber(8)
    )
    done = verify(made)
    assert (done.header.record_count, done.header.sequence_span, done.header.is_control) == (0, 1, True)
    said = control.parse(done.payload)
    assert isinstance(said, OriginStart)
    assert (said.node_name, said.reason, said.previous_origin, said.previous_next_sequence) == ("a", "why", ORIGIN, 8)


def test_a_gap_takes_as_many_sequences_as_it_covers() -> None:
    header = verify(control.gap(500, now_ms=3, reason="nobody had them")).header
    assert (header.is_gap, header.sequence_span, header.record_count) == (True, 500, 0)


def test_a_control_batch_that_is_none_is_refused_and_an_unknown_kind_is_nothing() -> None:
    assert control.parse(b"") is None
    with pytest.raises(MalformedBatchError):
        control.parse(b"\xff\xff\xff")


def test_a_walk_stops_before_a_batch_that_is_cut_short() -> None:
    data = stamped(b"a") + stamped(b"b", sequence=2, offset=1)
    assert [position for position, _ in scan.headers(data)] == [0, len(data) // 2]
    assert [position for position, _ in scan.headers(data[:-1])] == [0]
    with pytest.raises(MalformedBatchError):
        list(scan.batches(data[:-1]))
    with pytest.raises(MalformedBatchError):
        list(scan.headers(b"x" * 500))


def test_records_come_with_their_places() -> None:
    (one, two) = scan.records(verify(stamped(b"a", b"b", sequence=5, offset=30)))
    assert (one.value, one.offset, one.sequence, one.origin, one.timestamp_ms) == (b"a", 30, 5, ORIGIN, 5)
    assert (two.value, two.offset, two.sequence) == (b"b", 31, 6)


FORMATS = Path(__file__).parents[3] / "docs" / "concepts" / "formats.md"


def test_the_documented_layout_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| `(\w+)` \|", FORMATS.read_text(), re.MULTILINE)
    sizes = {"I": 4, "Q": 8, "q": 8, "B": 1, "H": 2}
    expected, at = [], 0
    codes = re.findall(r"\d+s|.", batch._LOCAL_AND_PORTABLE.format.removeprefix("<"))
    for name, code in zip(batch.BatchHeader._fields, codes, strict=True):
        size = sizes.get(code) or int(code[:-1])
        expected.append((str(at), str(size), name))
        at += size
    assert rows[: len(expected)] == expected
    assert at == HEADER_BYTES


def test_the_diagram_in_the_module_is_the_one_in_the_document() -> None:
    assert batch.__doc__ is not None
    drawn = [line.strip() for line in batch.__doc__.splitlines() if line.strip().startswith(("+--", "| "))]
    document = [line.strip() for line in FORMATS.read_text().splitlines()]
    assert drawn
    assert [line for line in document if line in set(drawn)][: len(drawn)] == drawn


def test_the_header_in_the_document_is_what_the_code_writes() -> None:
    (example,) = re.findall(r"```hex\n(.*?)```", FORMATS.read_text(), re.DOTALL)
    data = bytes.fromhex(re.sub(r"^[0-9]+:", "", example, flags=re.MULTILINE))
    mark = Places(LogId(bytes(range(16))), Offset(40)).mark(4096)
    assert data == stamped(b"hello", offset=40, mark=mark)
    assert parse_header(data).batch_bytes == len(data)
