"""Join an agent to other members by their gossip addresses, and exchange full state with them."""

from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options
from proglog.errors import UnavailableError

if TYPE_CHECKING:
    from proglog.client import Client


def main(
    addr_: Annotated[list[str], typer.Argument(metavar="HOST[:PORT]...", help="Gossip addresses; default port 8401")],
    *,
    agent: options.AgentFlags,
) -> None:
    async def join(client: "Client") -> dict[str, str]:
        return await client.membership.join(addr_)

    outcomes = agent.with_client(join)
    for addr, error in outcomes.items():
        diagnostics.note(f"{addr}: {error or 'joined'}")
    if all(outcomes.values()):
        raise UnavailableError("no member was joined")
