"""Remove a member that failed and will not come back. It shows as left at once, everywhere; its records stay.

A member that is alive is refused. One that comes back after all is a member again.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options

if TYPE_CHECKING:
    from proglog.client import Client


def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The member, as `proglog members` lists it")],
    prune: Annotated[bool, typer.Option("--prune", help="Forget it at once; otherwise it is listed for a day")] = False,
    *,
    agent: options.AgentFlags,
) -> None:
    async def send(client: "Client") -> None:
        await client.force_leave(name, prune=prune)

    agent.with_client(send)
    diagnostics.note(f"{name} has left" + (", and is forgotten" if prune else ""))
