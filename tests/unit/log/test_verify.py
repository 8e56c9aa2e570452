"""Checking a directory offline: every fault named, nothing changed."""

import os
from pathlib import Path
from random import Random

import pytest

from proglog.errors import NotFoundError, StorageError
from proglog.log.config import LogConfig
from proglog.log.verify import VerifyProgress, diagnose, verify_directory
from proglog.testing.files import FaultyFiles
from tests.unit.log.kit import DIR, SMALL, append, open_log, values_of


def filled(files: FaultyFiles) -> None:
    log = open_log(files=files)
    for number in range(60):
        append(log, b"%d" % number * 100)
    log.close()
    files.kill()


def test_a_whole_directory_has_no_findings_and_its_numbers_are_right() -> None:
    files = FaultyFiles()
    filled(files)
    report = verify_directory(DIR, files=files)
    assert report.findings == []
    assert report.ok
    assert (report.record_count, report.batch_count) == (60, 61)
    assert (report.start_offset, report.end_offset) == (0, 60)
    assert "every batch, index and mark is whole" in list(diagnose(report))


def test_it_says_how_far_it_is() -> None:
    files = FaultyFiles()
    filled(files)
    steps: list[VerifyProgress] = []
    report = verify_directory(DIR, files=files, on_progress=steps.append)
    assert [step.bytes_done for step in steps] == sorted({step.bytes_done for step in steps})
    assert steps[-1].bytes_done == steps[-1].bytes_total == report.stored_bytes


def test_any_flipped_bit_is_found_and_nothing_is_changed() -> None:
    files = FaultyFiles()
    filled(files)
    random = Random(5)
    watched = [path for path in files.paths() if path.name not in ("LOCK", "ballast")]
    for _ in range(300):
        path = random.choice(watched)
        content = files.content(path)
        position, bit = random.randrange(len(content)), 1 << random.randrange(8)
        content[position] ^= bit
        before = {each: bytes(files.content(each)) for each in files.paths()}
        operations = files.operation
        report = verify_directory(DIR, files=files)
        assert report.findings, (path, position)
        assert report.ok == (path.suffix != ".log")
        assert files.operation == operations
        assert {each: bytes(files.content(each)) for each in files.paths()} == before
        content[position] ^= bit


def test_damage_is_named_with_its_records_and_what_to_do() -> None:
    files = FaultyFiles()
    filled(files)
    content = files.content(DIR / f"{0:020d}.log")
    content[1000] ^= 1
    findings = verify_directory(DIR, files=files).findings
    (finding,) = [each for each in findings if each.start_offset is not None]
    assert finding.severity == "damage"
    assert finding.end_offset == finding.start_offset + 1
    words = "\n".join(diagnose(verify_directory(DIR, files=files)))
    assert f"offsets [{finding.start_offset}, {finding.start_offset + 1}) are damaged" in words
    assert "to do: " in words


def test_a_torn_tail_is_no_damage() -> None:
    files = FaultyFiles()
    filled(files)
    last = max(path for path in files.paths() if path.suffix == ".log")
    files.content(last).extend(b"\x00" * 77)
    report = verify_directory(DIR, files=files)
    assert report.ok
    assert "77 bytes of an unfinished write" in report.findings[0].what


def test_a_missing_store_is_damage() -> None:
    files = FaultyFiles()
    filled(files)
    stores = [path for path in files.paths() if path.suffix == ".log"]
    for gone in (stores[1], stores[-1]):
        kept = files._inodes.pop(gone)
        report = verify_directory(DIR, files=files)
        assert not report.ok
        assert any(finding.start_offset == int(gone.stem) for finding in report.findings)
        files._inodes[gone] = kept


def test_an_open_directory_and_no_directory_are_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path, config=SMALL)
    with pytest.raises(StorageError, match="an agent has"):
        verify_directory(tmp_path)
    log.close()
    assert verify_directory(tmp_path).ok
    with pytest.raises(NotFoundError):
        verify_directory(tmp_path / "nowhere")


@pytest.mark.parametrize("harm", ["damaged", "removed"])
def test_without_the_record_of_retention_what_it_removed_is_not_lost_and_a_start_makes_it_anew(harm: str) -> None:
    files = FaultyFiles()
    config = LogConfig(segment_bytes=4096, retention_bytes=8192, ballast_bytes=0)
    log = open_log(files=files, config=config)
    for number in range(60):
        append(log, b"%d " % number * 100)
        log.retain()
    before = values_of(log), log.start_offset, log.origins(), log.origin
    assert log.start_offset > 0
    log.close()
    files.kill()
    if harm == "damaged":
        files.content(DIR / "retired")[20] ^= 1
    else:
        files.unlink(DIR / "retired")
    report = verify_directory(DIR, files=files)
    assert report.ok, report.findings
    assert {finding.file for finding in report.findings} == ({"retired"} if harm == "damaged" else set())
    for life in range(2):
        log = open_log(files=files, config=config, seed=life + 1)
        assert (values_of(log), log.start_offset, log.origins(), log.origin) == before
        assert log.missing() == []
        assert bool(log.recovery.describe()) == (harm == "damaged" and life == 0)
        log.close()
        files.kill()
        assert verify_directory(DIR, files=files).findings == []


@pytest.mark.parametrize("what", ["a directory", "a dangling link", "a pipe"])
def test_a_segment_that_is_no_file_is_named(tmp_path: Path, what: str) -> None:
    log = open_log(tmp_path)
    append(log, b"x")
    log.close()
    name = f"{9999:020d}.log"
    match what:
        case "a directory":
            (tmp_path / name).mkdir()
        case "a dangling link":
            (tmp_path / name).symlink_to("/nowhere/at/all")
        case _:
            os.mkfifo(tmp_path / name)
    with pytest.raises(StorageError, match=f"{tmp_path}: {name}: "):
        open_log(tmp_path)
    with pytest.raises(StorageError, match=f"{tmp_path}: {name}: "):
        verify_directory(tmp_path)
