"""Flags that several verbs share, in dataclasses, and what they make: an address, TLS files, a client."""

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from proglog.addr import split_addr
from proglog.cli import diagnostics
from proglog.cli.output import Format
from proglog.client import DEFAULT_ADDR, DEFAULT_TIMEOUT, connect
from proglog.errors import AccessError, ConfigError, ProglogError, UnauthenticatedError, UnavailableError

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.security.tls import TLSFiles

Result = TypeVar("Result")
Group = TypeVar("Group")
AGENT = "Agent"
_LONGEST_WAIT = 86_400.0
_AGAIN_SECONDS = 0.1


def flag(name: str, help_: str, metavar: str | None = None, **more: Any) -> Any:
    """Return a flag that its variable also sets: ``--node-name`` and ``PROGLOG_NODE_NAME``."""
    variable = "PROGLOG_" + name.upper().replace("-", "_")
    return typer.Option(f"--{name}", envvar=variable, metavar=metavar, help=help_, **more)


Addrs = Annotated[
    str, flag("addr", "Agent address; list several to fail over", "HOST:PORT[,...]", rich_help_panel=AGENT)
]


def seconds_of(flag: str) -> Callable[[Any], float]:
    """Return what reads a duration of a flag: ``5``, ``5s``, ``500ms``, ``2m``."""

    def parse(value: Any) -> float:
        from proglog.quantities import duration

        return duration(f"--{flag}", value, bare="s") if isinstance(value, str) else float(value)

    parse.__name__ = "duration"
    return parse


def seconds_flag(name: str, help_: str, **more: Any) -> Any:
    """Return a flag that takes a duration; a bare number is seconds."""
    return flag(name, help_, "D", parser=seconds_of(name), **more)


Wait = Annotated[
    float, seconds_flag("wait", "Wait at most this long for the agent to answer first", rich_help_panel=AGENT)
]
TLSCa = Annotated[Path | None, flag("tls-ca-file", "Authority that signs the agent's certificate", "FILE")]
TLSCert = Annotated[
    Path | None, flag("tls-cert-file", "Certificate to present; its common name is your identity", "FILE")
]
TLSKey = Annotated[Path | None, flag("tls-key-file", "Key of the certificate", "FILE")]
Timeout = Annotated[float, seconds_flag("timeout", "How long to wait for an answer: 5s, 500ms")]


def _take_profile(context: typer.Context, name: str | None) -> str | None:
    """Apply the profile's values below flags and variables, and print its warning."""
    from proglog.cli import diagnostics, profiles

    if context.resilient_parsing:
        return name
    chosen = profiles.choose(name or "")
    values = {key.replace("-", "_"): value for key, value in chosen.values.items() if key in profiles.FLAGS}
    context.default_map = {**(context.default_map or {}), **values}
    if chosen.warning:
        diagnostics.warn(chosen.warning, profiles.COLOURS.get(str(chosen.values.get("colour")), 0))
    return name


Profile = Annotated[
    str | None,
    flag(
        "profile",
        "Named set of these flags; see `proglog profile`",
        "NAME",
        rich_help_panel=AGENT,
        is_eager=True,
        callback=_take_profile,
    ),
]
Output = Annotated[
    Format,
    typer.Option("--output", "-o", envvar="PROGLOG_OUTPUT", help="Format of stdout", case_sensitive=False),
]
Watch = Annotated[
    bool, typer.Option("--watch", help="Write the answer again at every change; with -o jsonl, a line per change")
]


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


def check_seconds(flag: str, seconds: float) -> float:
    """Return ``seconds`` if they are a time to wait.

    Raises:
        ConfigError: They are not.
    """
    if not 0 < seconds <= _LONGEST_WAIT:
        raise ConfigError(f"{flag} {seconds:g}: expected more than 0 and at most {_LONGEST_WAIT:g} seconds")
    return seconds


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on uvloop."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # or gRPC logs connection details to stderr
    from uvloop import new_event_loop

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFlags:
    """The flags of a verb that queries an agent."""

    addr: Addrs = DEFAULT_ADDR
    tls_ca_file: TLSCa = None
    tls_cert_file: TLSCert = None
    tls_key_file: TLSKey = None
    timeout: Timeout = DEFAULT_TIMEOUT
    wait: Wait = 0.0
    profile: Profile = None

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

    def chosen(self) -> str:
        """Return the address of the agent that :meth:`with_client` would use; without --wait, a single address as given.

        Raises:
            ConfigError, UnavailableError: As there.
        """
        addrs = self.addr.split(",")
        for addr in addrs:
            split_addr(addr, "--addr")
        check_seconds("--timeout", self.timeout)
        if len(addrs) == 1 and not self.wait:
            return addrs[0]

        async def addr_of(client: "Client") -> str:
            return client.addr

        return self.with_client(addr_of)

    def with_client(self, action: "Callable[[Client], Awaitable[Result]]") -> Result:
        """Run ``action`` with a client of the agent; of several, the first that answers.

        Raises:
            ConfigError: A flag is not what it should be.
            UnavailableError: None answers.
        """

        async def first(clients: "list[Client]") -> Result:
            return await action(await first_that_answers(clients) if len(clients) > 1 else clients[0])

        return self.with_clients(first)

    def with_clients(self, action: "Callable[[list[Client]], Awaitable[Result]]") -> Result:
        """Run ``action`` with a client of each agent; errors as :meth:`with_client`."""

        async def ready(clients: "list[Client]") -> Result:
            if self.wait:
                await first_that_answers(clients, check_seconds("--wait", self.wait))
            return await action(clients)

        return with_clients(self.addr.split(","), self.tls, self.timeout, ready)

    def with_cluster(self, action: "Callable[[Client], Awaitable[Result]]") -> Result:
        """Run ``action`` with one client of all agents, which fails over when one goes away.

        Raises:
            ConfigError: A flag's value is invalid.
            UnavailableError: No agent answered within --wait.
        """
        addrs = self.addr.split(",")

        async def ready(clients: "list[Client]") -> Result:
            if self.wait:
                await first_that_answers(clients, check_seconds("--wait", self.wait))
            async with connect(addrs, tls=self.tls, timeout=self.timeout) as client:
                return await action(client)

        return with_clients(addrs, self.tls, self.timeout, ready)


async def first_that_answers(clients: "Sequence[Client]", within: float = 0.0) -> "Client":
    """Return the first client whose agent answers, whatever it answers.

    Args:
        clients: At least one, tried in this order.
        within: Seconds during which all are retried.

    Raises:
        UnavailableError: None could be reached.
        DeadlineError: None answered in time.
    """
    from proglog.errors import DeadlineError, ProglogError, UnavailableError

    end = time.monotonic() + within
    while True:
        failure: ProglogError | None = None
        for client in clients:
            try:
                await client.status()
            except (UnavailableError, DeadlineError) as exc:
                failure = failure or exc
            except ProglogError:  # it answers; the verb's own call meets the same error
                return client
            else:
                return client
        if time.monotonic() >= end:
            assert failure is not None, "there is at least one client"
            raise failure
        await asyncio.sleep(_AGAIN_SECONDS)


def with_clients(
    addrs: Sequence[str], tls: "TLSFiles | None", timeout: float, action: "Callable[[list[Client]], Awaitable[Result]]"
) -> Result:
    """Run ``action`` with a client of each agent.

    Raises:
        ConfigError: An address or the timeout is invalid.
        UnauthenticatedError: An agent and this client do not agree on TLS.
        ProglogError: What ``action`` raised.
    """
    for addr in addrs:
        split_addr(addr, "--addr")
    check_seconds("--timeout", timeout)

    async def main() -> Result:
        async with AsyncExitStack() as stack:
            clients = [connect(addr, tls=tls, timeout=timeout) for addr in addrs]
            for client in clients:
                await stack.enter_async_context(client)
            return await action(clients)

    try:
        return run(main())
    except ProglogError as exc:
        cause = getattr(exc, "cause", exc)
        trouble = _handshake_trouble(addrs, tls) if isinstance(cause, UnavailableError | AccessError) else ""
        if not trouble:
            raise
        if cause is not exc:
            diagnostics.note(str(exc))  # it has counts
        raise UnauthenticatedError(trouble) from exc


def _handshake_trouble(addrs: Sequence[str], tls: "TLSFiles | None") -> str:
    from proglog.security.handshake import trouble_with

    return next(filter(None, (trouble_with(addr, tls) for addr in addrs)), "")


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
