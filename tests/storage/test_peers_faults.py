"""What other logs got wrong in their storage, each kept impossible by a test; most of them stand elsewhere.

=======================================================================  ==============================================
what happened there                                                      what holds it here
=======================================================================  ==============================================
the book's program: `kill -9` loses all that was not read (a buffer)     test_kill_under_load
the book's program: a restart after `kill -9` finds padded indexes, and  below: an index of a file system's block size
every produce fails from then on
the book's program: an index size that is no multiple of an entry        below
sticks for ever
the book's program: at EMFILE a produce fails and was appended           below
the book's program: a request without a record ends the server           tests/integration/test_book_api
NATS JetStream: acknowledged before it was synced                        test_power_loss
NATS JetStream: one flipped bit deletes what follows it                  test_damage
NATS JetStream: damage at the start or in the middle is not repaired     tests/unit/log/test_refill
Redpanda: without its index a segment is an assertion that fails         test_hints; below: all at once
Redpanda: a full disk ends the process                                   test_full_disk, test_agent_disk
Kafka: after a power cut offsets go back, and humans delete files        test_power_loss; below
Kafka: truncated to a mark that was behind what was acknowledged         below: an old mark
PostgreSQL, fsyncgate: a failed sync is tried again, and "succeeds"      test_disk_errors, test_agent_disk
Liftbridge: an index that is damaged is a panic at start                 test_hints
Liftbridge: an empty file of marks cannot be parsed                      test_hints; below
qdrant: a tail of zeros is taken for pointers                            test_torn_tails
ALICE: rename before the file's data, unlink before the directory's      test_crash_points (each operation, each tear)
=======================================================================  ==============================================
"""

import subprocess
import sys
from pathlib import Path

import pytest

from proglog.log.config import LogConfig
from proglog.testing.files import FaultyFiles
from tests.storage.kit import DIR, Image, Witness, open_log

CONFIG = LogConfig(segment_bytes=4096, index_interval_bytes=512, ballast_bytes=0)


def written(*, close: bool, count: int = 60) -> tuple[Image, Witness]:
    files, witness = FaultyFiles(), Witness()
    log = open_log(files=files, config=CONFIG)
    for number in range(count):
        assert witness.append(log, [b"%d " % number * 40])
        if number == count // 2:
            log.retain()  # a mark that is behind the end
    if close:
        log.close()
    return Image(files), witness


@pytest.mark.parametrize("size", [1, 11, 12, 13, 4096, 1 << 20])
def test_an_index_padded_to_any_size_is_made_again_and_produce_continues(size: int) -> None:
    image, witness = written(close=False)
    for path in image.files.paths():
        if path.suffix == ".index":
            content = image.files.content(path)
            content[:] = bytes(content[:size]).ljust(size, b"\0")
    log = open_log(files=image.files, config=CONFIG, seed=2)
    assert witness.append(log, [b"next"])
    assert witness.flaws(log) == []


def test_without_any_index_and_any_mark_the_log_opens_as_it_was() -> None:
    image, witness = written(close=True)
    for path in image.files.paths():
        if path.suffix == ".index" or path.name == "durable":
            image.files.unlink(path)
    log = open_log(files=image.files, config=CONFIG, seed=2)
    assert witness.flaws(log) == []
    assert log.recovery.rebuilt_indexes > 0


@pytest.mark.parametrize("name", ["durable", "origin", "retired", "LOCK", "ballast"])
def test_an_empty_file_beside_the_stores_needs_no_human(name: str) -> None:
    """What a crash between a creation and its first write leaves on many file systems."""
    image, witness = written(close=False)
    if DIR / name not in image.files.paths():
        image.files.open(DIR / name, create=True)
    image.files.content(DIR / name).clear()
    log = open_log(files=image.files, config=CONFIG, seed=2)
    assert witness.append(log, [b"next"])
    assert witness.flaws(log) == []


def test_a_mark_behind_the_end_cuts_nothing_that_was_acknowledged() -> None:
    image, witness = written(close=False)
    log = open_log(files=image.files, config=CONFIG, seed=2)
    assert log.end_offset == 60
    assert witness.flaws(log) == []


def test_whatever_a_power_cut_leaves_offsets_only_grow() -> None:
    for seed in range(100):
        files, witness = FaultyFiles(seed), Witness()
        end = 0
        for life in range(5):
            log = open_log(files=files, config=CONFIG, seed=life)
            assert log.end_offset >= end
            for number in range(8):
                assert witness.append(log, [b"%d.%d " % (life, number) * 30])
            end = log.end_offset
            files.power_loss()
        log = open_log(files=files, config=CONFIG, seed=9)
        assert witness.flaws(log) == []


def test_a_produce_that_fails_for_want_of_a_descriptor_was_not_appended(memory: Path) -> None:
    script = """
import os, resource, sys
from pathlib import Path
from tests.storage.kit import Witness, open_log
from tests.storage.test_peers_faults import CONFIG
witness, log = Witness(), open_log(Path(sys.argv[1]), config=CONFIG)
used = max(int(each) for each in os.listdir("/proc/self/fd"))
limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (used, most))
for number in range(200):
    witness.append(log, [b"%d " % number * 60])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
assert witness.flaws(log) == [], witness.flaws(log)
assert witness.append(log, [b"there are some again"])
assert witness.flaws(log) == []
log.close()
"""
    done = subprocess.run([sys.executable, "-c", script, memory], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    log = open_log(memory, config=CONFIG, seed=2)
    assert log.damaged() == []
    log.close()
