"""Flags that several verbs share, in dataclasses, and what they make: an address, TLS files, a client."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from proglog.addr import split_addr
from proglog.cli.output import Format
from proglog.client import DEFAULT_ADDR, DEFAULT_TIMEOUT, connect
from proglog.errors import ConfigError

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.security.tls import TLSFiles

Result = TypeVar("Result")
Group = TypeVar("Group")
AGENT = "Agent"


def flag(name: str, help_: str, metavar: str | None = None, **more: Any) -> Any:
    """Return a flag that a variable of the same name sets too: ``--node-name`` and ``PROGLOG_NODE_NAME``."""
    variable = "PROGLOG_" + name.upper().replace("-", "_")
    return typer.Option(f"--{name}", envvar=variable, metavar=metavar, help=help_, **more)


Addr = Annotated[str, flag("addr", "The agent to ask", "HOST:PORT", rich_help_panel=AGENT)]
Addrs = Annotated[
    str, flag("addr", "The agent to ask; more of them, for when it goes away", "HOST:PORT[,...]", rich_help_panel=AGENT)
]
TLSCa = Annotated[Path | None, flag("tls-ca-file", "Authority of the agent's certificate", "FILE")]
TLSCert = Annotated[Path | None, flag("tls-cert-file", "Certificate to show; its common name is who you are", "FILE")]
TLSKey = Annotated[Path | None, flag("tls-key-file", "Key of the certificate", "FILE")]
Timeout = Annotated[float, flag("timeout", "How long to wait for an answer", "SECONDS")]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFlags:
    """The flags of a verb that asks an agent."""

    addr: Addr = DEFAULT_ADDR
    tls_ca_file: TLSCa = None
    tls_cert_file: TLSCert = None
    tls_key_file: TLSKey = None
    timeout: Timeout = DEFAULT_TIMEOUT

    @property
    def tls(self) -> "TLSFiles | None":
        """The three files, or ``None`` without any.

        Raises:
            ConfigError: Some are given and some are not.
        """
        return tls_files(self.tls_ca_file, self.tls_cert_file, self.tls_key_file)

    @property
    def tls_words(self) -> tuple[str, ...]:
        """The TLS flags again, for command lines that are suggested."""
        names = ("tls_ca_file", "tls_cert_file", "tls_key_file")
        given = {f"--{name.replace('_', '-')}": getattr(self, name) for name in names}
        return tuple(part for flag, path in given.items() if path for part in (flag, str(path)))

    def with_client(self, action: "Callable[[Client], Awaitable[Result]]") -> Result:
        """Run ``action`` with a client of the agent.

        Raises:
            ConfigError: A flag is not what it should be.
        """

        async def first(clients: "list[Client]") -> Result:
            return await action(clients[0])

        return with_clients([self.addr], self.tls, self.timeout, first)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverFlags(AgentFlags):
    """The same, of a verb that goes on with another agent when one goes away."""

    addr: Addrs = DEFAULT_ADDR

    def with_clients(self, action: "Callable[[list[Client]], Awaitable[Result]]") -> Result:
        """Run ``action`` with a client of each agent, which commas separate; errors as :meth:`with_client`."""
        return with_clients(self.addr.split(","), self.tls, self.timeout, action)


def with_clients(
    addrs: Sequence[str], tls: "TLSFiles | None", timeout: float, action: "Callable[[list[Client]], Awaitable[Result]]"
) -> Result:
    """Run ``action`` with a client of each agent.

    Raises:
        ConfigError: An address or the timeout is none.
    """
    for addr in addrs:
        split_addr(addr, "--addr")
    check_timeout(timeout)

    async def main() -> Result:
        async with AsyncExitStack() as stack:
            clients = [connect(addr, tls=tls, timeout=timeout) for addr in addrs]
            for client in clients:
                await stack.enter_async_context(client)
            return await action(clients)

    return run(main())


def values(group: Any) -> dict[str, Any]:
    """Return the flags of a group by their parameters' names."""
    return {each.name: getattr(group, each.name) for each in fields(group)}


def from_values(group: Callable[..., Group], values: Mapping[str, Any]) -> Group:
    """Return a group of flags from values that may hold others too."""
    return group(**{name: values[name] for name in inspect.signature(group).parameters})


def expanded(main: Callable[..., None]) -> Callable[..., None]:
    """Return a verb for Typer in which each parameter that is a dataclass of flags is replaced by its fields."""
    signature = inspect.signature(main, eval_str=True)
    groups: dict[str, Any] = {
        name: each.annotation for name, each in signature.parameters.items() if is_dataclass(each.annotation)
    }
    if not groups:
        return main

    def call(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{flag.name: given.pop(flag.name) for flag in fields(group)})
        main(**given)

    parameters = [
        flag
        for name, each in signature.parameters.items()
        for flag in (_parameters(groups[name]) if name in groups else [each])
    ]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # what Typer reads
    return call


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(flag.name, kind, default=flag.default, annotation=hints[flag.name]) for flag in fields(group)
    ]
