"""Take an agent out of service: it takes no more records, waits until other members hold all that it has, and leaves.

Writers are refused with UNAVAILABLE and go on at another agent; consumers keep reading until it leaves. Exits 0 once it has
left. After --for it exits 4, says what no other living member holds, and takes no records until --resume.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options
from proglog.errors import ConfigError, DeadlineError

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.observe.draining import OnlyHere

_AGAIN_SECONDS = 0.25


def main(
    for_: Annotated[
        float, typer.Option("--for", metavar="SECONDS", help="How long to wait for the other members")
    ] = 300.0,
    stay: Annotated[bool, typer.Option("--stay", help="Do not leave: only take no records, and wait")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Take records again, and do nothing else")] = False,
    *,
    agent: options.AgentFlags,
) -> None:
    if resume and stay:
        raise ConfigError("--resume and --stay contradict each other: give one")
    end = time.monotonic() + options.check_seconds("--for", for_)

    async def drain(client: "Client") -> None:
        await client.drain(resume=resume)
        if resume:
            diagnostics.note(f"{client.addr} takes records again")
            return
        await _others_hold_all(client, end)
        if not stay:
            await client.membership.leave()
            diagnostics.note(f"{client.addr} is leaving and will stop: other members hold all that it has")

    agent.with_client(drain)


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
    from proglog.observe.words import records_words

    if missing.records:
        return f"{records_words(missing.records)} of {missing.origins} origins that no other living member holds"
    return f"{missing.unlisted} origins of which it is unknown who holds them"
