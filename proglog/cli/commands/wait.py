"""Wait until agents are ready, for scripts that run `serve &`.

Every agent in --addr must answer and accept writes; with --members N, each must see N members alive; with --healthy,
none may have a finding (`proglog check`). Exits 0 when all conditions hold; exits 4 after the
time limit and reports what was missing.

    proglog wait --for 10s && seq 10 | proglog produce
    proglog wait --members 3 --healthy --for 1m
"""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output
from proglog.cli.output import Format
from proglog.cli.shapes import Shape
from proglog.errors import ConfigError, DeadlineError, UnavailableError

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.wire.model import ClusterSnapshot

_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ReadyShape:
    """An agent that is ready."""

    name: str
    addr: str


READY = Shape("wait", ReadyShape, identity=("addr",))
SHAPES = (READY,)


def main(
    members: Annotated[int, typer.Option("--members", metavar="N", help="Also wait until N members are alive")] = 1,
    healthy: Annotated[bool, typer.Option("--healthy", help="Also wait until `proglog check` finds nothing")] = False,
    for_: Annotated[float, options.seconds_flag("for", "How long to wait: 30s, 2m")] = 30.0,
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    if members < 1:
        raise ConfigError(f"--members {members}: expected 1 or more")
    end = time.monotonic() + options.check_seconds("--for", for_)

    async def wait(clients: "list[Client]") -> list[ReadyShape]:
        return [await _wait_for(client, members, end, healthy=healthy) for client in clients]

    ready = agent.with_clients(wait)
    if output_ is Format.TABLE:
        for each in ready:
            diagnostics.note(f"{each.name} at {each.addr} is ready")
    else:
        with output.Listing(READY, output_) as listing:
            for each in ready:
                listing.add(each)
        output.flush()


async def _wait_for(client: "Client", members: int, end: float, *, healthy: bool) -> ReadyShape:
    while True:
        snapshot, missing = None, ""
        try:
            snapshot = await client.status()
            missing = _missing(snapshot, members, healthy=healthy)
        except (UnavailableError, DeadlineError) as exc:
            missing = str(exc)
        if snapshot is not None and not missing:
            return ReadyShape(snapshot.node.name, client.addr)
        if time.monotonic() >= end:
            raise DeadlineError(f"{client.addr} is not ready: {missing}")
        await asyncio.sleep(_AGAIN_SECONDS)


def _missing(snapshot: "ClusterSnapshot", members: int, *, healthy: bool) -> str:
    """Return in words what keeps an agent from being ready; empty: nothing."""
    from proglog.observe.health import Severity, findings, own_findings, ready
    from proglog.wire.model import MemberStatus

    found = own_findings(snapshot)
    if not ready(found):
        return next(f"{each.subject} {each.cause}" for each in found if each.unready)
    alive = sum(member.status is MemberStatus.ALIVE for member in snapshot.members)
    if alive < members:
        return f"{alive} of {members} members are alive"
    serious = [each for each in findings(snapshot) if healthy and each.severity >= Severity.WARNING]
    return "; ".join(f"{each.subject} {each.cause}" for each in serious)
