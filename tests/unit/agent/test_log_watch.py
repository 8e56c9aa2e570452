"""What an operator learns about the log, and when."""

from pathlib import Path

from proglog.agent.log_watch import LogWatch
from proglog.errors import DataLossError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LocalAppend
from proglog.record import columns
from proglog.record.batch import encode, verify
from proglog.types import NodeName, Offset

SMALL = LogConfig(segment_bytes=4096, retention_bytes=8192, ballast_bytes=4096)


def open_log(directory: Path) -> Log:
    return Log.open(directory, SMALL, node_name=NodeName("a"))


def append(log: Log, value: bytes) -> None:
    payload = columns.from_values([value])
    log.append([LocalAppend(verify(encode(payload, count=1, first_timestamp_ms=1, max_timestamp_ms=1)))])


def test_an_unchanged_log_is_no_news(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    watch = LogWatch(log)

    append(log, b"x")

    assert watch.look() == []
    log.close()
    assert watch.look() == []


def test_every_segment_that_was_sealed_since_the_last_look_is_reported(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    watch = LogWatch(log)

    for _ in range(3):
        append(log, bytes(3900))

    changes = watch.look()
    assert [change.event.name for change in changes] == ["segment_rolled"] * (log.segment_count - 1)
    assert changes[0].detail.startswith("offsets [0, ")
    assert watch.look() == []
    log.close()


def test_what_retention_removed_is_reported(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for _ in range(6):
        append(log, bytes(3900))
    watch = LogWatch(log)

    log.retain()

    (change,) = watch.look()
    assert change.event.name == "segments_removed"
    assert f"offsets before {log.start_offset} are gone" in change.detail
    log.close()


def test_an_origin_begun_for_a_reason_is_reported(tmp_path: Path) -> None:
    open_log(tmp_path).close()
    (tmp_path / "origin").unlink()

    log = open_log(tmp_path)

    assert "origin_started" in [change.event.name for change in LogWatch(log).opened()]
    log.close()


def test_damage_is_reported_once(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    assert LogWatch(log).opened() == []  # a new directory is no surprise
    for _ in range(3):
        append(log, bytes(3900))
    log.close()
    store = tmp_path / f"{0:020}.log"
    content = bytearray(store.read_bytes())
    content[-5] ^= 1
    store.write_bytes(content)

    log = open_log(tmp_path)
    watch = LogWatch(log)
    assert watch.look_for_damage() == []  # nobody has read it yet
    try:
        log.read(log.seek(Offset(0)), 1)
    except DataLossError:
        (change,) = watch.look_for_damage()
    assert change.event.name == "log_damaged"
    assert "offsets [0, 1) cannot be read" in change.detail
    assert watch.look_for_damage() == []
    log.close()
