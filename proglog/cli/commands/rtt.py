"""Estimate the round trip between two members from their network coordinates, as `serf rtt` does.

proglog rtt one
proglog rtt one -o json
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
class RttShape:
    """An estimated round trip."""

    a: str
    b: str | None
    """null: the agent itself."""
    rtt_ms: float


RTT = Shape("rtt", RttShape, many=False)
SHAPES = (RTT,)


def main(
    a: Annotated[str, typer.Argument(metavar="A", help="A member")],
    b: Annotated[str | None, typer.Argument(metavar="[B]", help="Another member; default: the agent itself")] = None,
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    async def ask(client: "Client") -> float:
        return await client.membership.round_trip(a, b)

    milliseconds = agent.with_client(ask) * 1000
    output.one(RttShape(a, b or None, round(milliseconds, 3)), RTT, output_, [f"{milliseconds:.3f} ms"])
