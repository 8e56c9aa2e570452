"""Small files and indexes are believed in their own log only."""

from proglog.log import checkpoint
from proglog.log.checkpoint import MAX_FORMER_ORIGINS
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.model import ImportAppend
from proglog.record.batch import verify
from proglog.testing.files import FaultyFiles
from tests.unit.log.kit import DIR, append, batches_of, open_log, values_of

RETAINING = LogConfig(segment_bytes=4096, retention_bytes=6000, ballast_bytes=0)


def test_a_lost_origin_file_leaves_the_old_origin_known_by_the_durable_mark() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=RETAINING)
    for _ in range(60):
        append(log, b"x" * 100)
    assert log.retain() > 0
    old, start = log.origin, log.start_offset
    log.close()
    files.kill()
    files.unlink(DIR / "origin")
    log = open_log(files=files, config=RETAINING, seed=5)
    assert log.origin != old
    assert log.recovery.new_origin_reason == "the file 'origin' is missing"
    content = checkpoint.load(files, DIR / "origin")
    assert content is not None
    assert content["former"] == [old.hex()]
    log.close()
    files.kill()
    log = open_log(files=files, config=RETAINING, seed=6)
    assert log.start_offset == start
    assert log.origins()[old].floor_sequence > 1
    assert log.recovery.describe() == ""


def test_small_files_of_an_earlier_version_name_no_origin_and_are_believed() -> None:
    files = FaultyFiles()
    log = open_log(files=files, config=RETAINING)
    for _ in range(60):
        append(log, b"x" * 100)
    log.retain()
    origin, start, values = log.origin, log.start_offset, values_of(log)
    log.close()
    files.kill()
    for name in ("origin", "durable", "retired"):
        content = checkpoint.load(files, DIR / name)
        assert content is not None
        checkpoint.save(
            files, DIR / name, {key: each for key, each in content.items() if key not in ("former", "reason")}
        )
        if name != "origin":
            checkpoint.save(files, DIR / name, {key: each for key, each in content.items() if key != "origin"})
    log = open_log(files=files, config=RETAINING, seed=5)
    assert (log.origin, log.start_offset, values_of(log)) == (origin, start, values)
    assert log.recovery.scanned_bytes == 0


def test_what_retention_removed_stays_removed_after_any_number_of_new_origins() -> None:
    files = FaultyFiles()
    config = LogConfig(segment_bytes=4096, retention_bytes=6000, ballast_bytes=0, fsync=FsyncPolicy.OS)
    log = open_log(files=files, config=config)
    for _ in range(60):
        append(log, b"x" * 100)
    removed = [ImportAppend(verify(bytes(each.data))) for each in batches_of(log)][:5]
    assert log.retain() > 0
    old, start, floor = log.origin, log.start_offset, log.origins()[log.origin].floor_sequence
    for seed in range(1, MAX_FORMER_ORIGINS + 5):  # each unclean stop under this policy begins another
        files.kill()
        log = open_log(files=files, config=config, seed=seed)
    assert log.start_offset >= start
    assert log.origins()[old].floor_sequence >= floor
    before = log.end_offset
    log.append(removed)
    assert log.end_offset == before
