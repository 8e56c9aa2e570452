"""Estimate the round trip between two members from their network coordinates, as `serf rtt` does."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import options, output
from proglog.cli.output import Format

if TYPE_CHECKING:
    from proglog.client import Client


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
    if output_ in (Format.JSON, Format.JSONL):
        output.line(json.dumps({"a": a, "b": b, "rtt_ms": round(milliseconds, 3)}))
    else:
        output.line(f"{milliseconds:.3f} ms")
    output.flush()
