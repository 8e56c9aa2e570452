"""Tell every member of the cluster something, once: a user event, as `serf event` sends it.

Name and payload have at most 512 bytes. Members run their --event-handler scripts; `proglog events` shows it.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options

if TYPE_CHECKING:
    from proglog.client import Client


def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the event")],
    payload: Annotated[str, typer.Argument(metavar="[PAYLOAD]", help="What it says")] = "",
    coalesce: Annotated[
        bool, typer.Option("--coalesce", help="Of events of this name in quick succession, tell only the newest")
    ] = False,
    *,
    agent: options.AgentFlags,
) -> None:
    async def send(client: "Client") -> int:
        data = payload.encode("utf-8", "surrogateescape")
        return await client.membership.send_event(name, data, coalesce=coalesce)

    ltime = agent.with_client(send)
    diagnostics.note(f"event {name} sent, Lamport time {ltime}")
