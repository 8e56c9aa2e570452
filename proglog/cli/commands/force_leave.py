"""Remove a failed member that will not come back. Every member lists it as left at once; its records stay.

Refuses a living member. A removed member that comes back after all rejoins.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options

if TYPE_CHECKING:
    from proglog.client import Client


def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Member name, as `proglog members` lists it")],
    prune: Annotated[bool, typer.Option("--prune", help="Forget it at once instead of listing it for a day")] = False,
    *,
    agent: options.AgentFlags,
) -> None:
    async def send(client: "Client") -> None:
        await client.force_leave(name, prune=prune)

    agent.with_client(send)
    diagnostics.note(f"{name} has left" + (" and is forgotten" if prune else ""))
