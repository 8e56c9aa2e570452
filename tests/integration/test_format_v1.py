"""A data directory of format version 1, written once and opened for ever."""

import shutil
from pathlib import Path

import pytest

from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import Appended
from proglog.record import scan
from tests.unit.log.kit import local

KEPT = Path(__file__).parents[1] / "data" / "v1"


@pytest.mark.parametrize("lost", ["", "*.index", "durable"], ids=["whole", "without its indexes", "without its mark"])
def test_a_directory_of_this_format_opens_with_everything_in_it(tmp_path: Path, lost: str) -> None:
    shutil.copytree(KEPT, tmp_path / "data")
    for path in (tmp_path / "data").glob(lost) if lost else ():
        path.unlink()

    log = Log.open(tmp_path / "data", LogConfig(segment_bytes=4096), node_name="keeper")
    records = []
    cursor = log.seek(log.start_offset)
    while True:
        data, cursor = log.read(cursor, 1 << 20)
        if not data:
            break
        records += [record for batch in scan.batches(data) for record in scan.records(batch)]

    assert [record.value.rstrip(b".") for record in records] == [
        b"record %d.%d" % (n, i) for n in range(40) for i in range(3)
    ]
    assert [record.key for record in records[:3]] == [None, b"k1", b"k2"]
    assert [record.headers for record in records[:3]] == [(), (("h", b"\xff"),), ()]
    assert [(record.offset, record.sequence) for record in records] == [(n, n + 2) for n in range(120)]
    assert {record.origin for record in records} == {bytes(range(16))}
    assert log.seek_time(1_800_000_000_000 + 205) == 63
    (appended,) = log.append([local(b"more")])
    assert isinstance(appended, Appended)
    assert appended.base_offset == 120
    log.close()
