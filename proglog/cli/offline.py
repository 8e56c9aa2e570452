"""Reads a stopped agent's directory with a progress bar, for verify, doctor, backup and restore. Changes nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from proglog.cli import diagnostics
from proglog.log.verify import VerifyProgress, VerifyReport, verify_directory


def read(directory: Path) -> VerifyReport:
    """Read a data directory from end to end.

    Raises:
        NotFoundError: There is none.
        StorageError: It cannot be read, or an agent has it open.
    """
    with meter_of("verifying", directory) as on_progress:
        return verify_directory(directory, on_progress=on_progress)


@contextmanager
def meter_of(label: str, directory: Path) -> Iterator[Callable[[VerifyProgress], None]]:
    """Yield what draws how much of a directory's segments has been read."""
    total = sum(path.lstat().st_size for path in directory.glob("*.log")) if directory.is_dir() else 0
    done = 0
    with diagnostics.progress(label, total, unit="bytes") as meter:

        def on_progress(progress: VerifyProgress) -> None:
            nonlocal done
            meter.advance(progress.bytes_done - done)
            done = progress.bytes_done

        yield on_progress
