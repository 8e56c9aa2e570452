"""Send a user event to every member of the cluster, as `serf event` does.

Name and payload together are at most 512 bytes. Members run their --event-handler scripts; `proglog events` lists it.

    proglog event deploy 1.2.3
    proglog event deploy 1.2.4 --coalesce
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import options, output
from proglog.cli.output import Format
from proglog.cli.shapes import Shape

if TYPE_CHECKING:
    from proglog.client import Client


@dataclass(frozen=True, slots=True)
class SentShape:
    """A user event that was sent."""

    name: str
    ltime: int
    """Its Lamport time."""


SENT = Shape("event", SentShape, many=False)
SHAPES = (SENT,)


def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the event")],
    payload: Annotated[str, typer.Argument(metavar="[PAYLOAD]", help="Payload of the event")] = "",
    coalesce: Annotated[
        bool,
        typer.Option("--coalesce", help="Of several events of this name in quick succession, deliver only the newest"),
    ] = False,
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    async def send(client: "Client") -> int:
        data = payload.encode("utf-8", "surrogateescape")
        return await client.membership.send_event(name, data, coalesce=coalesce)

    ltime = agent.with_client(send)
    output.done(SentShape(name, ltime), SENT, output_, f"event {name} sent, Lamport time {ltime}")
