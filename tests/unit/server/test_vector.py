"""A consumer's pass by position vector, without a network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proglog.errors import InvalidRequestError, PositionGoneError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import ImportAppend, LocalAppend
from proglog.record import batch, columns, control, scan
from proglog.record.batch import chain_start, stamp_local, verify
from proglog.server.vector import GoneCause, GoneRange, VectorPass, positions_at
from proglog.types import NodeName, Offset, OriginId, SequenceNumber
from proglog.wire import cursors
from proglog.wire.cursors import cursor_message, positions_of

FOREIGN = OriginId(b"f" * 16)


def open_log(path: Path, **options: int) -> Log:
    return Log.open(path, LogConfig(segment_bytes=4096, **options), node_name=NodeName("a"))  # type: ignore[arg-type]


def producers(*values: bytes) -> bytes:
    return batch.encode(columns.from_values(values), count=len(values), first_timestamp_ms=1, max_timestamp_ms=1)


class Origin:
    """Batches of another node, stamped as it would."""

    def __init__(self, origin: OriginId = FOREIGN) -> None:
        self.origin, self.sequence, self.chain = origin, SequenceNumber(1), chain_start(origin)

    def stamp(self, data: bytes) -> ImportAppend:
        header = stamp_local(
            verify(data),
            origin=self.origin,
            base_sequence=self.sequence,
            previous_chain=self.chain,
            base_offset=Offset(0),
            append_time_ms=1,
        )
        stamped = verify(header + data[batch.HEADER_BYTES :])
        self.sequence, self.chain = stamped.header.next_sequence, stamped.header.chain_crc
        return ImportAppend(stamped)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """A log of several segments: batches of three records, in turn its own and another node's."""
    log, other = open_log(tmp_path_factory.mktemp("mixed")), Origin()
    for number in range(40):
        log.append([LocalAppend(verify(producers(*(b"own %d.%d" % (number, part) for part in range(3)))))])
        log.append([other.stamp(producers(*(b"other %d.%d" % (number, part) for part in range(3))))])
    yield log
    log.close()


def read(
    log: Log, positions: dict[OriginId, SequenceNumber], *, skip_gone: bool = False
) -> tuple[list[bytes], list[GoneRange]]:
    """Return what a client with this vector makes of the pass: values of sequences that are not before it."""
    walk = VectorPass(log, positions, skip_gone=skip_gone)
    found: list[bytes] = []
    gone, seen = walk.gone(), dict(positions)
    while True:
        got = log.read(walk.at, 700)
        if not got.data:
            return found, gone
        for stored in scan.batches(walk.take(got)):
            after = seen.get(stored.header.origin, 1)
            found += [each.value for each in scan.records(stored) if each.sequence >= after]
        walk.recheck(log)
        gone += walk.gone()


def everything(log: Log) -> list[bytes]:
    return read(log, {})[0]


def test_an_empty_vector_wants_everything(mixed: Log) -> None:
    assert len(everything(mixed)) == mixed.end_offset == 240


@given(at=st.integers(0, 240))
def test_a_vector_taken_anywhere_splits_the_log_in_two(mixed: Log, at: int) -> None:
    rest, gone = read(mixed, positions_at(mixed, Offset(at)))

    assert rest == everything(mixed)[at:]
    assert gone == []


@given(own=st.integers(1, 200), other=st.integers(1, 200))
def test_each_origin_is_read_from_its_own_position(mixed: Log, own: int, other: int) -> None:
    rest, _ = read(mixed, {mixed.origin: SequenceNumber(own), FOREIGN: SequenceNumber(other)})

    # Sequence 1 of the own origin is the batch that opened it.
    assert sum(value.startswith(b"own") for value in rest) == max(0, 122 - max(own, 2))
    assert sum(value.startswith(b"other") for value in rest) == max(0, 121 - other)


def test_positions_of_origins_that_are_not_here_are_kept(mixed: Log) -> None:
    elsewhere = OriginId(b"e" * 16)
    walk = VectorPass(mixed, {elsewhere: SequenceNumber(7)}, skip_gone=False)

    assert walk.positions[elsewhere] == 7


@pytest.fixture
def shortened(tmp_path: Path) -> Iterator[Log]:
    """A log whose first records retention has removed."""
    log = open_log(tmp_path / "shortened", retention_bytes=6000)
    for number in range(200):
        log.append([LocalAppend(verify(producers(b"%d" % number)))])
    assert log.retain() > 0
    yield log
    log.close()


def test_what_retention_removed_is_an_error_that_says_what_and_what_to_do(shortened: Log) -> None:
    with pytest.raises(PositionGoneError, match="--skip-gone") as caught:
        VectorPass(shortened, {shortened.origin: SequenceNumber(5)}, skip_gone=False)

    floor = shortened.origins()[shortened.origin].floor_sequence
    assert (caught.value.start, caught.value.end, caught.value.reason) == (5, floor, GoneCause.RETENTION.value)


def test_with_leave_to_skip_the_gap_is_reported_and_the_rest_read(shortened: Log) -> None:
    rest, gone = read(shortened, {shortened.origin: SequenceNumber(5)}, skip_gone=True)

    floor = shortened.origins()[shortened.origin].floor_sequence
    assert gone == [GoneRange(shortened.origin, SequenceNumber(5), floor, GoneCause.RETENTION)]
    assert rest == [b"%d" % number for number in range(floor - 2, 200)]


def test_a_start_after_retention_is_no_gap(shortened: Log) -> None:
    _, gone = read(shortened, positions_at(shortened, shortened.start_offset))

    assert gone == []


def test_a_gap_batch_is_reported_without_being_an_error(tmp_path: Path) -> None:
    log, other = open_log(tmp_path), Origin()
    log.append([other.stamp(producers(b"before"))])
    log.append([other.stamp(control.gap(5, now_ms=1, reason="nobody has it"))])
    log.append([other.stamp(producers(b"after"))])

    rest, gone = read(log, {FOREIGN: SequenceNumber(4)})

    assert rest == [b"after"]
    assert gone == [GoneRange(FOREIGN, SequenceNumber(4), SequenceNumber(7), GoneCause.GAP)]
    log.close()


def test_a_vector_on_the_wire_comes_back(mixed: Log) -> None:
    positions = positions_at(mixed, Offset(100))

    assert positions_of(cursor_message(positions)) == positions


@pytest.mark.parametrize(
    "positions", [{b"short": 1}, {b"o" * 16: 0}, {b"o" * 16: 1 << 63}], ids=["origin", "zero", "large"]
)
def test_a_hostile_vector_is_refused(positions: dict[OriginId, SequenceNumber]) -> None:
    with pytest.raises(InvalidRequestError, match="cannot hold"):
        positions_of(cursor_message(positions))


def test_a_vector_of_too_many_origins_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "MAX_CURSOR_ORIGINS", 1)

    with pytest.raises(InvalidRequestError, match="at most 1"):
        positions_of(cursor_message({OriginId(bytes([number]) * 16): SequenceNumber(1) for number in range(2)}))


def test_a_jump_in_a_log_without_damage_is_a_defect_that_nothing_explains(mixed: Log) -> None:
    walk = VectorPass(mixed, {}, skip_gone=True, at=mixed.seek(Offset(12)))

    assert walk.take(mixed.read(walk.at, 1 << 20))

    assert (walk.gone(), walk.passed()) == ([], [])
