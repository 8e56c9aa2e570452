"""The flags that every verb takes: how much it says on stderr, and in which zone it takes and shows times."""

import os
from collections.abc import Callable
from typing import Any

from typer.core import TyperOption

from proglog.cli import diagnostics, zone

GRPC_DEBUG = {"GRPC_VERBOSITY": "DEBUG", "GRPC_TRACE": "connectivity_state,http_keepalive,subchannel"}


def options() -> list[Any]:
    """Return them, for a verb's command."""
    return [
        _flag(("--quiet", "-q"), "Print no notes and no progress on stderr; errors stay", _quiet),
        _flag(("--verbose", "-v"), "Print on stderr what the client does: connections, retries, times", _verbose),
        _flag(("--debug",), "As --verbose, with gRPC's own log and the traceback of an error", _debug),
        _flag(("--utc",), "Take times without a zone as UTC, and show times in UTC; default: local", _utc),
    ]


def _flag(names: tuple[str, ...], help_: str, act: Callable[[], None]) -> Any:
    def callback(context: Any, parameter: Any, value: bool | None) -> None:
        del parameter
        if value and not context.resilient_parsing:
            act()

    return TyperOption(
        param_decls=list(names), is_flag=True, default=False, expose_value=False, help=help_, callback=callback,
        is_eager=True,
    )  # fmt: skip


def _quiet() -> None:
    diagnostics.be(diagnostics.Verbosity.QUIET)


def _verbose() -> None:
    diagnostics.be(diagnostics.Verbosity.VERBOSE)


def _debug() -> None:
    for name, value in GRPC_DEBUG.items():
        os.environ.setdefault(name, value)  # before gRPC is imported
    diagnostics.be(diagnostics.Verbosity.DEBUG)


def _utc() -> None:
    zone.use_utc()
