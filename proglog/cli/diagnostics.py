"""The only writer to stderr: errors, hints, summaries, progress. stdout belongs to data."""

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from proglog.errors import ProglogError
from proglog.observe.safe_text import safe_text

_REDRAW_SECONDS = 0.1
_SHORTEST_SECRET = 6
"""Characters: shorter values are in any text by chance, such as the verb itself."""


class Verbosity(IntEnum):
    """How much is printed."""

    QUIET = 0
    """Errors, and warnings."""
    NORMAL = 1
    VERBOSE = 2
    DEBUG = 3


_level = [Verbosity.NORMAL]


def be(level: Verbosity) -> None:
    """Print so much from now on; the client's log from VERBOSE on."""
    _level[:] = [level]
    if level >= Verbosity.VERBOSE:
        import logging

        class Safe(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                detail(f"{self.format(record)}")

        handler = Safe()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
        logger = logging.getLogger("proglog")
        logger.handlers[:] = [handler]
        logger.setLevel(logging.DEBUG)


def level() -> Verbosity:
    """Return how much is printed."""
    return _level[0]


def error(message: str, hint: str = "") -> None:
    """Print an error in one line, and its remedy in another."""
    _write(f"error: {safe_text(message)}\n" + (f"hint: {safe_text(hint)}\n" if hint else ""))


def note(message: str) -> None:
    """Print a message that is neither data nor an error, unless quiet."""
    if level() > Verbosity.QUIET:
        _write(safe_text(message) + "\n")


def say(message: str, end: str = "\n") -> None:
    """Print what the user must read before an answer, even when quiet."""
    _write(safe_text(message) + end)


def detail(message: str) -> None:
    """Print what only --verbose shows."""
    if level() >= Verbosity.VERBOSE:
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
                report.write(_facts() + "\n" + _without_values("".join(traceback.format_exception(exc))))
        except OSError:
            continue  # the next directory, or none
        return Path(name)
    return None


def _facts() -> str:
    """Return what a report needs: versions and the verb. No values of arguments and variables: they may be secrets."""
    import platform

    from proglog.cli.front import version_text
    from proglog.cli.verbs import VERBS

    words = [word for word in sys.argv[1:] if word in VERBS][:1]
    flags = [word.partition("=")[0] for word in sys.argv[1:] if word.startswith("--") and len(word) > 2]
    variables = sorted(name for name in os.environ if name.startswith("PROGLOG_"))
    return (
        f"{version_text()}{platform.platform()}\ncommand: proglog {' '.join(words + flags)}\n"
        f"variables: {', '.join(variables) or 'none'} (values left out)\n"
        "Please report this: the text holds no values of flags, variables or records, but read it before you send it.\n"
    )


def _without_values(text: str) -> str:
    """Return a traceback in which the values of arguments and variables are left out: a message may repeat them."""
    given = {word.partition("=")[2] if word.startswith("--") else word for word in sys.argv[1:]}
    given |= {value for name, value in os.environ.items() if name.startswith("PROGLOG_")}
    for value in sorted((each for each in given if len(each) >= _SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(value, "<value>")
    return text


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
def progress(label: str, total: int | None, *, unit: str = "records", shown: bool = True) -> Iterator[Meter]:
    """Show a bar while a terminal watches, if ``shown``; ``total`` in ``unit``, which is ``bytes`` or ``records``."""
    if not (shown and is_terminal()) or level() is Verbosity.QUIET:
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
