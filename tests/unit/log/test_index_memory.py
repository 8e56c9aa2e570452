"""What an index costs in memory: as the docstring of the index and the page on formats say."""

import sys
from pathlib import Path

import pytest

import proglog.log.index as module
from proglog.log.config import KIB, MIB, LogConfig
from proglog.log.index import ENTRY_BYTES, ENTRY_MEMORY_BYTES, SegmentIndex
from proglog.log.index_cache import MAX_INDEX_MEMORY, IndexCache
from proglog.record.batch import BatchHeader, parse_header, stamp_local
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, Offset, OriginId, SequenceNumber
from tests.unit.log.kit import SMALL, append, batch_of, open_log

GIB = 1024 * MIB
FORMATS = Path(__file__).parents[3] / "docs" / "concepts" / "formats.md"


def index_of(store_bytes: int, batch_bytes: int, origins: int = 1) -> SegmentIndex:
    """The index of a store full of batches of one size, the origins taking turns."""
    batch = batch_of(b"x")
    stamped = stamp_local(
        batch,
        origin=OriginId(bytes(16)),
        base_sequence=SequenceNumber(1),
        previous_chain=0,
        base_offset=Offset(0),
        append_time_ms=0,
    )
    header = parse_header(stamped)._replace(batch_bytes=batch_bytes)
    index = SegmentIndex(Offset(0), LogConfig().index_interval_bytes)
    for number, position in enumerate(range(0, store_bytes, batch_bytes)):
        index.add(_at(header, number, origins), FilePosition(position))
    return index


def _at(header: BatchHeader, number: int, origins: int) -> BatchHeader:
    return header._replace(base_offset=Offset(number), origin=OriginId(bytes([number % origins]) * 16))


@pytest.mark.parametrize(("batch_bytes", "limit_mib"), [(150, 10), (1024, 10), (4 * KIB, 10), (64 * KIB, 1)])
def test_a_gib_of_store_needs_at_most_ten_mib_of_index(batch_bytes: int, limit_mib: float) -> None:
    sampled = 16 * MIB
    index = index_of(sampled, batch_bytes)
    assert index.memory_bytes * (GIB // sampled) <= limit_mib * MIB
    assert index.entry_count >= sampled / max(batch_bytes, 4 * KIB) * 0.9


def test_origins_side_by_side_need_as_much_each_but_never_more_than_an_entry_a_batch() -> None:
    alone, together = index_of(4 * MIB, 512), index_of(4 * MIB, 512, origins=3)
    assert 2.5 * alone.memory_bytes <= together.memory_bytes <= 3 * alone.memory_bytes
    crowded = index_of(4 * MIB, 512, origins=200)
    assert crowded.entry_count <= crowded.batch_count


def test_an_entry_takes_what_is_said() -> None:
    index = index_of(16 * MIB, 1024)
    assert ENTRY_BYTES == 36
    assert index.entries is not None
    columns = (*index.entries._columns(), index.entries._before)
    assert index.memory_bytes == sum(len(column) * column.itemsize for column in columns)
    assert sum(sys.getsizeof(column) for column in columns) <= 1.15 * index.memory_bytes


def test_sealed_segments_keep_no_more_in_memory_than_the_bound() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=SMALL)
    while log.segment_count < 40:
        append(log, b"x" * 100)
    bound = 5 * ENTRY_MEMORY_BYTES * 8
    log._state.indexes = IndexCache(bound)
    for segment in log.segments():
        log.seek(segment.base_offset)
        assert log._state.indexes.memory_bytes <= bound
    assert log._state.indexes.memory_bytes > 0
    for segment in log.segments():
        assert log.seek(segment.base_offset).segment == segment.base_offset


def test_the_page_and_the_docstring_say_the_figures_of_the_code() -> None:
    page, docstring = FORMATS.read_text(), module.__doc__ or ""
    entries = GIB // LogConfig().index_interval_bytes
    assert entries * ENTRY_BYTES == 9 * MIB
    assert f"{entries:,}" in docstring
    assert MAX_INDEX_MEMORY == 32 * MIB
    for text in (page, docstring):
        assert "9 MiB" in text
        assert "32 MiB" in text
    assert f"{ENTRY_BYTES} bytes per entry" in page
