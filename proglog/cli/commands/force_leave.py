"""Remove a failed member that will not come back. Every member lists it as left at once; its records stay.

Refuses a living member. A removed member that comes back after all rejoins.

    proglog force-leave two
    proglog force-leave two --prune
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
class LeftShape:
    """A member that was removed."""

    name: str
    pruned: bool
    """Whether it is also forgotten."""


LEFT = Shape("force-leave", LeftShape, many=False)
SHAPES = (LEFT,)


def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Member name, as `proglog members` lists it")],
    prune: Annotated[bool, typer.Option("--prune", help="Forget it at once instead of listing it for a day")] = False,
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    async def send(client: "Client") -> None:
        await client.force_leave(name, prune=prune)

    agent.with_client(send)
    words = f"{name} has left" + (" and is forgotten" if prune else "")
    output.done(LeftShape(name, prune), LEFT, output_, words)
