"""The only writer to stderr: errors, hints, summaries, progress. stdout belongs to data."""

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from proglog.errors import ProglogError
from proglog.observe.safe_text import safe_text

_REDRAW_SECONDS = 0.1


def error(message: str, hint: str = "") -> None:
    """Print an error in one line, and its remedy in another."""
    _write(f"error: {safe_text(message)}\n" + (f"hint: {safe_text(hint)}\n" if hint else ""))


def note(message: str) -> None:
    """Print a message that is neither data nor an error."""
    _write(safe_text(message) + "\n")


def warn(message: str, colour: int = 0) -> None:
    """Print a prominent warning, in an ECMA-48 colour where the terminal shows it."""
    text = f"warning: {safe_text(message)}"
    coloured = colour and is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    _write(f"\x1b[1;{colour}m{text}\x1b[0m\n" if coloured else text + "\n")


def is_terminal() -> bool:
    """Return whether stderr is a terminal."""
    return sys.stderr.isatty()


def bug_report(exc: BaseException) -> Path | None:
    """Write what a maintainer needs to a file that only the user can read; return it, or ``None`` without a disk."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "proglog"
    for directory in (state, Path(tempfile.gettempdir())):
        try:
            directory.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=directory)
            with os.fdopen(descriptor, "w", encoding="utf-8") as report:
                # No argument values: they may be secrets.
                report.write(f"proglog {sys.argv[1:2]}, Python {sys.version}\n\n")
                report.write("".join(traceback.format_exception(exc)))
        except OSError:
            continue  # the next directory, or none
        return Path(name)
    return None


class Meter(Protocol):
    """The progress of long work."""

    def advance(self, amount: int) -> None:
        """So much more is done."""
        ...


class _Silent:
    def advance(self, amount: int) -> None:
        pass


class _Bar:
    def __init__(self, label: str, total: int | None, unit: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        counts = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), counts, TimeRemainingColumn())
        # Drawn by the caller that advances it: a separate thread would delay the exit on a terminal without a reader.
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, auto_refresh=False)
        self._task = self._progress.add_task(label, total=total)
        self._progress.start()
        self._drawn = 0.0

    def advance(self, amount: int) -> None:
        self._progress.advance(self._task, amount)
        if time.monotonic() - self._drawn > _REDRAW_SECONDS:
            self._progress.refresh()
            self._drawn = time.monotonic()

    def stop(self) -> None:
        self._progress.stop()


@contextmanager
def progress(label: str, total: int | None, *, unit: str = "records") -> Iterator[Meter]:
    """Show a bar while a terminal watches; ``total`` in ``unit``, which is ``bytes`` or ``records``."""
    if not is_terminal():
        yield _Silent()
        return
    bar = _Bar(label, total, unit)
    try:
        yield bar
    finally:
        bar.stop()


def hint_for(exc: ProglogError) -> str:
    """Return the next step for an error whose message names none."""
    from proglog.errors import (
        DataDirLockedError,
        DataLossError,
        OffsetOutOfRangeError,
        PermissionDeniedError,
        UnavailableError,
    )

    match exc:
        case DataDirLockedError():
            return ""
        case DataLossError():
            return "`proglog consume --skip-gone` skips it; a peer that has the records repairs it"
        case OffsetOutOfRangeError():
            return "`proglog status` shows the valid offsets; `start` and `end` always work"
        case PermissionDeniedError():
            return "the subject is the certificate's common name; the agent's policy file lists what it may do"
        case UnavailableError():
            return "is an agent running there? `proglog serve` starts one; --addr or PROGLOG_ADDR sets the address"
        case _:
            return ""


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # stderr has no reader left
