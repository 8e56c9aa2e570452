"""Flags that several verbs share, and what they make: an address, TLS files, a client."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from proglog.addr import split_addr
from proglog.cli.output import Format
from proglog.client import connect
from proglog.errors import ConfigError

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.security.tls import TLSFiles

Result = TypeVar("Result")
AGENT = "Agent"

Addr = Annotated[
    str,
    typer.Option("--addr", envvar="PROGLOG_ADDR", metavar="HOST:PORT", help="The agent to ask", rich_help_panel=AGENT),
]
Addrs = Annotated[
    str,
    typer.Option(
        "--addr",
        envvar="PROGLOG_ADDR",
        metavar="HOST:PORT[,...]",
        help="The agent to ask; more of them, for when it goes away",
        rich_help_panel=AGENT,
    ),
]
TLSCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca-file", envvar="PROGLOG_TLS_CA_FILE", metavar="FILE", help="Authority of the agent's certificate"
    ),
]
TLSCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert-file",
        envvar="PROGLOG_TLS_CERT_FILE",
        metavar="FILE",
        help="Certificate to show; its common name is who you are",
    ),
]
TLSKey = Annotated[
    Path | None,
    typer.Option("--tls-key-file", envvar="PROGLOG_TLS_KEY_FILE", metavar="FILE", help="Key of the certificate"),
]
Timeout = Annotated[
    float, typer.Option("--timeout", envvar="PROGLOG_TIMEOUT", metavar="SECONDS", help="How long to wait for an answer")
]
Output = Annotated[
    Format,
    typer.Option("--output", "-o", envvar="PROGLOG_OUTPUT", help="How to write the answer", case_sensitive=False),
]
Watch = Annotated[bool, typer.Option("--watch", help="Write it again whenever something changes")]


def tls_files(ca: Path | None, cert: Path | None, key: Path | None, prefix: str = "--tls") -> "TLSFiles | None":
    """Return the three files, or ``None`` without any.

    Raises:
        ConfigError: Some are given and some are not.
    """
    given = {f"{prefix}-ca-file": ca, f"{prefix}-cert-file": cert, f"{prefix}-key-file": key}
    if not any(given.values()):
        return None
    missing = [flag for flag, path in given.items() if path is None]
    if missing or ca is None or cert is None or key is None:
        raise ConfigError(f"TLS needs three files; missing: {', '.join(missing)}")
    from proglog.security.tls import TLSFiles

    return TLSFiles(cert_file=cert, key_file=key, ca_file=ca)


def check_timeout(timeout: float) -> float:
    """Return ``timeout`` if it is one.

    Raises:
        ConfigError: It is not.
    """
    if not 0 < timeout <= 86_400:
        raise ConfigError(f"--timeout {timeout:g}: expected more than 0 and at most 86400 seconds")
    return timeout


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on uvloop."""
    from uvloop import new_event_loop

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def with_client(
    addr: str, tls: "TLSFiles | None", timeout: float, action: "Callable[[Client], Awaitable[Result]]"
) -> Result:
    """Run ``action`` with a client of the agent at ``addr``."""
    split_addr(addr, "--addr")
    check_timeout(timeout)

    async def main() -> Result:
        async with connect(addr, tls=tls, timeout=timeout) as client:
            return await action(client)

    return run(main())


def with_clients(
    addrs: str, tls: "TLSFiles | None", timeout: float, action: "Callable[[list[Client]], Awaitable[Result]]"
) -> Result:
    """Run ``action`` with a client of each agent at ``addrs``, which commas separate."""
    for addr in addrs.split(","):
        split_addr(addr, "--addr")
    check_timeout(timeout)

    async def main() -> Result:
        async with AsyncExitStack() as stack:
            clients = [connect(addr, tls=tls, timeout=timeout) for addr in addrs.split(",")]
            for client in clients:
                await stack.enter_async_context(client)
            return await action(clients)

    return run(main())
