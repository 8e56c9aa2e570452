"""Send a user event to every member of the cluster, as `serf event` does.

Name and payload together are at most 512 bytes. Members run their --event-handler scripts; `proglog events` lists it.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options

if TYPE_CHECKING:
    from proglog.client import Client


def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the event")],
    payload: Annotated[str, typer.Argument(metavar="[PAYLOAD]", help="Payload of the event")] = "",
    coalesce: Annotated[
        bool,
        typer.Option("--coalesce", help="Of several events of this name in quick succession, deliver only the newest"),
    ] = False,
    *,
    agent: options.AgentFlags,
) -> None:
    async def send(client: "Client") -> int:
        data = payload.encode("utf-8", "surrogateescape")
        return await client.membership.send_event(name, data, coalesce=coalesce)

    ltime = agent.with_client(send)
    diagnostics.note(f"event {name} sent, Lamport time {ltime}")
