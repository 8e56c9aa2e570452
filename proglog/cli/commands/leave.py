"""Have an agent leave the cluster gracefully and stop: other members list it as left, not as failed.

proglog leave
proglog leave --addr 127.0.0.1:8410
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proglog.cli import options, output
from proglog.cli.output import Format
from proglog.cli.shapes import Shape

if TYPE_CHECKING:
    from proglog.client import Client


@dataclass(frozen=True, slots=True)
class LeavingShape:
    """The agent that leaves."""

    addr: str


LEAVING = Shape("leave", LeavingShape, many=False)
SHAPES = (LEAVING,)


def main(output_: options.Output = Format.TABLE, *, agent: options.AgentFlags) -> None:
    async def leave(client: "Client") -> str:
        await client.membership.leave()
        return client.addr

    addr = agent.with_client(leave)
    output.done(LeavingShape(addr), LEAVING, output_, "the agent is leaving and will stop")
