"""Join an agent to other members by their gossip addresses, and exchange full state with them.

proglog join 127.0.0.1:8401
proglog join 127.0.0.1:8401 127.0.0.1:8411
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output
from proglog.cli.output import Format
from proglog.cli.shapes import Shape
from proglog.errors import UnavailableError

if TYPE_CHECKING:
    from proglog.client import Client


@dataclass(frozen=True, slots=True)
class JoinedShape:
    """An address that was tried."""

    addr: str
    error: str
    """null: joined."""


JOINED = Shape("join", JoinedShape, identity=("addr",))
SHAPES = (JOINED,)


def main(
    addr_: Annotated[list[str], typer.Argument(metavar="HOST[:PORT]...", help="Gossip addresses; default port 8401")],
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    async def join(client: "Client") -> dict[str, str]:
        return await client.membership.join(addr_)

    outcomes = agent.with_client(join)
    if output_ is Format.TABLE:
        for addr, error in outcomes.items():
            diagnostics.note(f"{addr}: {error or 'joined'}")
    else:
        with output.Listing(JOINED, output_) as listing:
            for addr, error in outcomes.items():
                listing.add(JoinedShape(addr, error))
        output.flush()
    if all(outcomes.values()):
        raise UnavailableError("no member was joined")
