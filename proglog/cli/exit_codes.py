"""The exit codes: an interface for scripts, so they are one table.

``docs/reference/cli.md`` prints it; a test keeps the two in sync.
"""

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proglog.errors import ProglogError


class ExitCode(IntEnum):
    """Exit codes of every verb."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    CANNOT_CONNECT = 3
    TIMED_OUT = 4
    DENIED = 5
    NOT_FOUND = 6
    NAME_TAKEN = 7
    BUG = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "ok",
    ExitCode.REFUSED: "refused, or a check failed",
    ExitCode.USAGE: "usage or configuration",
    ExitCode.CANNOT_CONNECT: "cannot connect",
    ExitCode.TIMED_OUT: "timed out",
    ExitCode.DENIED: "TLS or permission denied",
    ExitCode.NOT_FOUND: "offset out of range, or not found",
    ExitCode.NAME_TAKEN: "another node has this agent's name",
    ExitCode.BUG: "bug; a report was written",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.BROKEN_PIPE: "broken pipe",
    ExitCode.TERMINATED: "ended by SIGTERM",
}

SHORT: dict[ExitCode, str] = {
    ExitCode.OK: "ok",
    ExitCode.REFUSED: "refused",
    ExitCode.USAGE: "usage",
    ExitCode.CANNOT_CONNECT: "cannot connect",
    ExitCode.TIMED_OUT: "timed out",
    ExitCode.DENIED: "denied",
    ExitCode.NOT_FOUND: "not found",
    ExitCode.NAME_TAKEN: "name taken",
    ExitCode.BUG: "bug",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.BROKEN_PIPE: "broken pipe",
    ExitCode.TERMINATED: "terminated",
}
"""The same in two words each, for the help."""


def exit_code_of(error: "ProglogError") -> ExitCode:
    """Return the exit code that ``error`` ends a verb with."""
    from proglog import errors

    # The most specific class first.
    codes = (
        (errors.ConfigError, ExitCode.USAGE),
        (errors.AccessError, ExitCode.DENIED),
        (errors.NotFoundError, ExitCode.NOT_FOUND),
        (errors.DeadlineError, ExitCode.TIMED_OUT),
        (errors.UnavailableError, ExitCode.CANNOT_CONNECT),
        (errors.NameTakenError, ExitCode.NAME_TAKEN),
        (errors.TaskFailedError, ExitCode.BUG),
    )
    cause = getattr(error, "cause", None)
    if isinstance(cause, errors.ProglogError):
        return exit_code_of(cause)
    return next((code for kind, code in codes if isinstance(error, kind)), ExitCode.REFUSED)
