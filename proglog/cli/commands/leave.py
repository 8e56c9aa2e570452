"""Have an agent leave the cluster gracefully and stop: other members list it as left, not as failed."""

from typing import TYPE_CHECKING

from proglog.cli import diagnostics, options

if TYPE_CHECKING:
    from proglog.client import Client


def main(*, agent: options.AgentFlags) -> None:
    async def leave(client: "Client") -> None:
        await client.membership.leave()

    agent.with_client(leave)
    diagnostics.note("the agent is leaving and will stop")
