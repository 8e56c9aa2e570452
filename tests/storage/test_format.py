"""The page on formats is enough to read a log: a reader that was written from it alone agrees with the log."""

import re
import shutil
from pathlib import Path

from proglog.log.config import LogConfig
from proglog.log.model import LocalAppend
from proglog.record import columns
from proglog.record.batch import encode, verify
from tests.storage import reader
from tests.unit.log.kit import append, copy, local, open_log, stored

PAGE = (Path(__file__).parents[2] / "docs" / "concepts" / "formats.md").read_text()
CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=0)


def read(directory: Path) -> dict[int, bytes]:
    """Every record by offset, as the reader has it, after following every origin's chain."""
    found: dict[int, bytes] = {}
    chains: dict[bytes, tuple[int, int]] = {}
    for batch in reader.batches(directory):
        sequence, chain = chains.get(batch.origin, (1, reader.crc32c(batch.origin)))
        assert batch.base_sequence == sequence
        assert batch.chain_crc == reader.chain_after(batch, chain)
        chains[batch.origin] = sequence + batch.sequence_span, batch.chain_crc
        for index, value in enumerate(reader.values(batch.payload) if not batch.flags else ()):
            found[batch.base_offset + index] = value
    return found


def test_a_reader_written_from_the_page_reads_a_log_of_two_origins(tmp_path: Path) -> None:
    log, other = open_log(tmp_path / "a"), open_log(tmp_path / "b", name="b", seed=7)
    for number in range(40):
        append(log, b"%d" % number * 50, b"and another")
        append(other, b"other %d" % number)
    log.append([local(b"one group"), local(b"of two")])
    copy(other, log)
    log.close()
    found = read(tmp_path / "a")
    assert found == stored(open_log(tmp_path / "a"))
    assert len(found) == 122
    assert len(list((tmp_path / "a").glob("*.log"))) > 3


def test_a_directory_carried_over_from_version_1_is_one_of_this_format(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "data" / "v1", tmp_path / "data")
    log = open_log(tmp_path / "data")
    append(log, b"more")
    log.close()
    found = read(tmp_path / "data")
    assert [value.rstrip(b".") for value in found.values()] == [
        *(b"record %d.%d" % (n, i) for n in range(40) for i in range(3)),
        b"more",
    ]
    assert {batch.version for batch in reader.batches(tmp_path / "data")} == {1, 2}


def test_the_page_has_a_batch_that_its_own_rules_make() -> None:
    (example,) = re.findall(r"```hex\n(.*?)```", PAGE, re.DOTALL)
    data = bytes.fromhex(re.sub(r"^[0-9]+:", "", example, flags=re.MULTILINE))
    header, payload = data[:128], data[128:]
    assert header[:4] == reader.mark(bytes(range(16)), 40, 4096)
    assert reader.number(header, 4, 4) == reader.crc32c(header[8:])
    assert reader.number(header, 32, 4) == reader.crc32c(header[36:], reader.crc32c(payload))
    assert reader.values(payload) == [b"hello"]


def test_small_files_are_as_the_page_says_and_name_the_log(tmp_path: Path) -> None:
    log = open_log(tmp_path, config=LogConfig(segment_bytes=4096, retention_bytes=6000, ballast_bytes=0))
    for _ in range(60):
        append(log, b"x" * 100)
    assert log.retain()
    log.close()
    log_id = reader.log_id_of(tmp_path)
    for name in ("identity", "origin", "durable", "retired"):
        assert reader.small_file((tmp_path / name).read_bytes())["log"] == log_id.hex()


def test_a_history_made_again_with_other_times_is_another_history(tmp_path: Path) -> None:
    """The same values at other times are not what was there: a consumer sees the times."""
    logs = [open_log(tmp_path / name, seed=3) for name in "ab"]
    chains = []
    for log, time_ms in zip(logs, (1, 2), strict=True):
        data = encode(columns.from_values([b"v"]), count=1, first_timestamp_ms=time_ms, max_timestamp_ms=time_ms)
        log.append([LocalAppend(verify(data))])
        (held,) = log.origins().values()
        chains.append(held.chain_crc)
    assert logs[0].origin == logs[1].origin
    assert chains[0] != chains[1]
