"""Take an agent out of service: it takes no more records, waits until other members hold all that it has, and leaves.

Writers are refused with UNAVAILABLE and go on at another agent; consumers keep reading until it leaves. Exits 0 once it has
left. After --for it exits 4, says what no other living member holds, and takes no records until --resume.

    proglog drain --for 5m
    proglog drain --resume
"""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from proglog.cli import options, output
from proglog.cli.output import Format
from proglog.cli.shapes import Shape
from proglog.errors import ConfigError, DeadlineError
from proglog.types import counted

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.observe.draining import OnlyHere

_AGAIN_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class DrainedShape:
    """What became of the agent."""

    addr: str
    state: Literal["leaving", "drained", "resumed"]
    """leaving: other members hold all that it has; drained: the same, and it stays; resumed: it takes records again."""


DRAINED = Shape("drain", DrainedShape, many=False)
SHAPES = (DRAINED,)


def main(
    for_: Annotated[float, options.seconds_flag("for", "How long to wait for the other members: 30s, 5m")] = 300.0,
    stay: Annotated[bool, typer.Option("--stay", help="Do not leave: only take no records, and wait")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Take records again, and do nothing else")] = False,
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    if resume and stay:
        raise ConfigError("--resume and --stay contradict each other: give one")
    end = time.monotonic() + options.check_seconds("--for", for_)

    async def drain(client: "Client") -> DrainedShape:
        await client.drain(resume=resume)
        if resume:
            return DrainedShape(client.addr, "resumed")
        await _others_hold_all(client, end)
        if stay:
            return DrainedShape(client.addr, "drained")
        await client.membership.leave()
        return DrainedShape(client.addr, "leaving")

    done = agent.with_client(drain)
    words = {
        "resumed": "takes records again",
        "drained": "takes no records: other members hold all that it has",
        "leaving": "is leaving and will stop: other members hold all that it has",
    }
    output.done(done, DRAINED, output_, f"{done.addr} {words[done.state]}")


async def _others_hold_all(client: "Client", end: float) -> None:
    from proglog.observe.draining import only_here

    while True:
        missing = only_here(await client.status())
        if missing.nothing:
            return
        if time.monotonic() >= end:
            raise DeadlineError(
                f"{client.addr} still has {_words(missing)}; it takes no records: `proglog drain --resume` undoes that"
            )
        await asyncio.sleep(_AGAIN_SECONDS)


def _words(missing: "OnlyHere") -> str:

    if missing.records:
        return f"{counted(missing.records, 'record')} of {missing.origins} origins that no other living member holds"
    return f"{counted(missing.unlisted, 'origin')} of which it is unknown who holds them"
