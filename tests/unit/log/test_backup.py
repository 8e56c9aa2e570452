"""Backups of directories: what is new is copied, what is damaged is named, and nothing is restored silently."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from proglog.errors import ConfigError, DataDirLockedError, ForkedOriginError, NotFoundError, StorageError
from proglog.log.backup import Manifest, opened, read_back, read_manifest, restore
from proglog.log.verify import verify_directory
from tests.unit.log.kit import SMALL, local, open_log, stored


def write(directory: Path, numbers: Sequence[int], *, name: str = "a", seed: int = 0) -> None:
    with closing(open_log(directory, name=name, seed=seed)) as log:
        log.append([local(b"%d" % number * 50) for number in numbers])


def back_up(source: Path, target: Path) -> Manifest:
    with opened(target, str(source)) as backup:
        done, _ = backup.copy_directory(source)
    read_back(target, backup.lacking)
    return done


def values(directory: Path) -> list[int]:
    with closing(open_log(directory, name="reader")) as log:
        return [int(value[: len(value) // 50]) for value in stored(log).values()]


def damage(directory: Path, segment: int = 1) -> str:
    store = sorted(directory.glob("*.log"))[segment]
    content = bytearray(store.read_bytes())
    content[len(content) // 2] ^= 1
    store.write_bytes(content)
    return store.name


def test_each_copy_takes_what_is_new_and_what_is_restored_is_all_of_it(tmp_path: Path) -> None:
    a, target = tmp_path / "a", tmp_path / "backup"
    write(a, range(60))
    first = back_up(a, target)
    write(a, range(60, 100), seed=1)
    with opened(target, str(a)) as backup:
        second, damaged = backup.copy_directory(a)
        assert (backup.copier.records, damaged) == (40, [])
        assert backup.before == first
    done = restore(target, tmp_path / "b")

    assert (done.records, done.missing, done.of) == (100, 0, second)
    assert values(tmp_path / "b") == list(range(100))
    assert verify_directory(tmp_path / "b").ok


def test_what_is_restored_begins_an_origin_of_its_own_that_says_why(tmp_path: Path) -> None:
    write(tmp_path / "a", range(5))
    back_up(tmp_path / "a", tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "b")
    with closing(open_log(tmp_path / "a")) as a, closing(open_log(tmp_path / "b", name="b", seed=9)) as b:
        assert b.origin != a.origin
        assert [held.node_name for held in b.origins().values()] == ["a", "b"]
        assert b.recovery.new_origin_reason.startswith(f"restored from a backup of {tmp_path / 'a'}, 20")
    with closing(open_log(tmp_path / "b", name="b", seed=10)) as b:
        assert b.recovery.new_origin_reason == ""


def test_an_interrupted_first_copy_is_not_restored_and_resumes(tmp_path: Path) -> None:
    a, target = tmp_path / "a", tmp_path / "backup"
    write(a, range(60))
    for source in ("10.0.0.9:8400", "10.0.0.1:8400"):
        with opened(target, source):
            pass  # ended before anything was copied
    with pytest.raises(StorageError, match=r"never completed: finish it with `proglog backup 10\.0\.0\.1:8400"):
        restore(target, tmp_path / "b")
    back_up(a, target)
    restore(target, tmp_path / "b")
    assert values(tmp_path / "b") == list(range(60))


def test_an_interrupted_later_copy_leaves_the_complete_one_and_what_it_added(tmp_path: Path) -> None:
    a, target = tmp_path / "a", tmp_path / "backup"
    write(a, range(60))
    complete = back_up(a, target)
    write(a, range(60, 90), seed=1)
    with pytest.raises(KeyboardInterrupt), opened(target, str(a)) as backup:
        backup.copy_directory(a, on_progress=lambda step: interrupt() if step.bytes_done > 6000 else None)
    done = restore(target, tmp_path / "b")

    assert done.of == complete
    held = values(tmp_path / "b")
    assert held == list(range(len(held)))
    assert len(held) >= 60


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["a flipped bit", "a missing segment", "a missing end"])
def test_a_damaged_backup_is_named_and_never_restored_silently(tmp_path: Path, how: str) -> None:
    a, target = tmp_path / "a", tmp_path / "backup"
    write(a, range(200))
    with opened(target, str(a)) as backup:
        backup.copier.log._state.config = replace(SMALL, without_origin="x")  # small segments
        backup.copy_directory(a)
    stores = sorted((target / "log").glob("*.log"))
    assert len(stores) > 3
    if how == "a flipped bit":
        damage(target / "log")
    elif how == "a missing segment":
        stores[1].unlink()
    else:
        for name in ("durable", stores[-1].name, stores[-1].with_suffix(".index").name):
            (target / "log" / name).unlink()

    with pytest.raises(StorageError, match=r"lacks records: (log/0000|origin ).*Nothing was restored"):
        restore(target, tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "backup"]
    if how != "a missing end":  # which only the list of what was complete knows
        with pytest.raises(StorageError, match=r"is damaged: log/0000"):
            read_back(target, ())
    done = restore(target, tmp_path / "b", lossy=True)
    assert 0 < done.records < 200
    assert set(values(tmp_path / "b")) < set(range(200))


def test_what_a_source_lost_is_counted_and_copied_once_another_has_it(tmp_path: Path) -> None:
    a, target = tmp_path / "a", tmp_path / "backup"
    write(a, range(200))
    whole = {path.name: path.read_bytes() for path in a.iterdir()}
    damage(a)
    with opened(target, str(a)) as backup:
        lossy, damaged = backup.copy_directory(a)
    read_back(target, backup.lacking)

    assert lossy.missing > 0
    assert damaged
    with pytest.raises(StorageError, match="lacks records"):
        restore(target, tmp_path / "b")
    for name, content in whole.items():
        (a / name).write_bytes(content)
    assert back_up(a, target).missing == 0
    assert restore(target, tmp_path / "b").records == 200
    assert values(tmp_path / "b") == list(range(200))


def test_what_retention_removed_is_not_missing(tmp_path: Path) -> None:
    a, target = tmp_path / "a", tmp_path / "backup"
    write(a, range(40))
    back_up(a, target)
    with closing(open_log(a, config=replace(SMALL, retention_bytes=8000), seed=1)) as log:
        log.append([local(b"%d" % number * 50) for number in range(40, 200)])
        assert log.retain() > 0
        kept = [int(value[: len(value) // 50]) for value in stored(log).values()]
    done = back_up(a, target)
    restored = restore(target, tmp_path / "b")

    assert (done.missing, restored.missing) == (0, 0)
    assert kept[0] > 40
    assert values(tmp_path / "b") == [*range(40), *kept]


def test_another_clusters_directory_and_another_history_are_refused(tmp_path: Path) -> None:
    a, target = tmp_path / "a", tmp_path / "backup"
    write(a, range(20))
    back_up(a, target)
    before = (target / "log/00000000000000000000.log").read_bytes()
    write(tmp_path / "other", range(20), name="other", seed=5)
    with pytest.raises(ConfigError, match="is a backup of another cluster"):
        back_up(tmp_path / "other", target)
    write(tmp_path / "twin", range(100, 130))  # the same origin, other records
    with pytest.raises(ForkedOriginError):
        back_up(tmp_path / "twin", target)
    assert (target / "log/00000000000000000000.log").read_bytes() == before


def test_directories_of_something_else_are_left_alone(tmp_path: Path) -> None:
    a, target = tmp_path / "a", tmp_path / "backup"
    write(a, range(5))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat").write_text("meow")
    with pytest.raises(ConfigError, match="is no backup and not empty: it holds 'cat'"):
        back_up(a, tmp_path / "photos")
    back_up(a, target)
    with pytest.raises(ConfigError, match="is not empty"):
        restore(target, tmp_path / "photos")
    with pytest.raises(NotFoundError, match="no backup in"):
        restore(a, tmp_path / "b")
    with opened(target, str(a)), pytest.raises(DataDirLockedError), opened(target, str(a)):
        pass
    with closing(open_log(a, seed=2)), pytest.raises(StorageError, match="an agent has"):
        back_up(a, target)
    (target / "backup").write_text("{}\n")
    with pytest.raises(StorageError, match="is damaged"):
        read_manifest(target)
