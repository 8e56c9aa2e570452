"""A node that left finds its cluster again, though nobody told it where that is."""

from pathlib import Path

from proglog.client import connect
from proglog.testing.processes import AgentProcess
from proglog.wire.model import MemberStatus

BOTH = {"a", "b"}


async def alive(agent: AgentProcess, expected: set[str]) -> None:
    """Return once ``agent`` sees just these members alive."""
    async with connect(agent.rpc_addr) as client:
        async for snapshot in client.watch():
            if {member.name for member in snapshot.members if member.status is MemberStatus.ALIVE} == expected:
                return


async def test_the_first_node_of_a_cluster_needs_no_seed_when_it_is_started_again(tmp_path: Path) -> None:
    first = AgentProcess("a", tmp_path)
    first.start()
    second = AgentProcess("b", tmp_path, seeds=(first.gossip_addr,))
    second.start()
    try:
        await alive(first, BOTH)
        first.stop()
        await alive(second, {"b"})

        first.start()

        await alive(first, BOTH)
        await alive(second, BOTH)
    finally:
        second.kill()
        first.kill()
