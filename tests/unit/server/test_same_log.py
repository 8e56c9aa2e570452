"""Offsets mean something in the log that they were read from, through every change of its origin."""

import shutil
from pathlib import Path

import pytest

from proglog.errors import InvalidRequestError, OtherLogError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LocalAppend
from proglog.record import batch, columns
from proglog.record.batch import verify
from proglog.server.same_log import check_same_log
from proglog.types import NodeName, Offset


def open_log(path: Path) -> Log:
    return Log.open(path, LogConfig(segment_bytes=4096), node_name=NodeName("a"))


def produce(log: Log, count: int) -> None:
    for _ in range(count):
        payload = columns.from_values([b"x" * 50])
        log.append([LocalAppend(verify(batch.encode(payload, count=1, first_timestamp_ms=1, max_timestamp_ms=1)))])


def test_any_offset_of_this_log_is_accepted_after_an_orderly_restart_too(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    origin = log.origin
    produce(log, 10)
    log.close()

    log = open_log(tmp_path)

    check_same_log(log, origin, Offset(10))
    log.close()


def test_an_offset_of_another_log_is_refused_with_an_advice(tmp_path: Path) -> None:
    log, other = open_log(tmp_path / "a"), open_log(tmp_path / "b")
    produce(log, 3)

    with pytest.raises(OtherLogError, match="cursor"):
        check_same_log(log, other.origin, Offset(0))
    log.close()
    other.close()


def test_offsets_stay_good_through_new_origins(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    first = log.origin
    produce(log, 10)
    second = log.begin_origin("a peer knows more")
    produce(log, 10)
    log.begin_origin("and again")
    produce(log, 10)

    for origin, end in ((first, 10), (second, 20), (log.origin, 30)):
        check_same_log(log, origin, Offset(0))
        check_same_log(log, origin, Offset(end))
    log.close()


def test_after_a_restored_backup_only_what_the_backup_held_is_the_same(tmp_path: Path) -> None:
    log = open_log(tmp_path / "now")
    produce(log, 10)
    log.close()
    shutil.copytree(tmp_path / "now", tmp_path / "backup")
    log = open_log(tmp_path / "now")
    produce(log, 5)
    read_at, origin = log.end_offset, log.origin
    log.close()

    restored = open_log(tmp_path / "backup")
    restored.begin_origin("a peer knows more of it")
    produce(restored, 20)

    check_same_log(restored, origin, Offset(10))
    with pytest.raises(OtherLogError):
        check_same_log(restored, origin, read_at)
    restored.close()


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path)

    with pytest.raises(InvalidRequestError, match="16"):
        check_same_log(log, b"short", Offset(0))
    log.close()
