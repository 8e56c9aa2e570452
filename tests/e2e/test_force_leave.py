"""An operator removes a member that will not come back, from the command line; and it comes back after all."""

import asyncio
import subprocess
import sys
from pathlib import Path

from proglog.client import connect
from proglog.testing.processes import AgentProcess
from proglog.wire.model import MemberStatus


async def proglog(*words: str) -> tuple[int, str]:
    """Run a command; return its exit code and what it said."""
    command = [sys.executable, "-m", "proglog", *words]
    done = await asyncio.to_thread(
        subprocess.run, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout


async def statuses(agent: AgentProcess, expected: dict[str, MemberStatus]) -> None:
    """Return once ``agent`` sees just these members."""
    async with connect(agent.rpc_addr) as client:
        async for snapshot in client.watch():
            if {member.name: member.status for member in snapshot.members} == expected:
                return


async def test_a_member_that_failed_is_removed_everywhere_and_one_that_lives_is_not(tmp_path: Path) -> None:
    a, b, c = (AgentProcess(name, tmp_path) for name in "abc")
    a.start()
    for other in (b, c):
        other.seeds = (a.gossip_addr,)
        other.start()
    alive, failed = MemberStatus.ALIVE, MemberStatus.FAILED
    try:
        await statuses(b, {"a": alive, "b": alive, "c": alive})
        code, said = await proglog("force-leave", "c", "--addr", a.rpc_addr)
        assert (code, "is alive" in said) == (1, True), said

        c.kill()
        await statuses(a, {"a": alive, "b": alive, "c": failed})
        await statuses(b, {"a": alive, "b": alive, "c": failed})
        code, said = await proglog("force-leave", "c", "--prune", "--addr", a.rpc_addr)
        assert (code, said) == (0, "c has left and is forgotten\n")
        await statuses(a, {"a": alive, "b": alive})
        await statuses(b, {"a": alive, "b": alive})
        code, said = await proglog("force-leave", "c", "--addr", b.rpc_addr)
        assert (code, "no member 'c'" in said) == (6, True), said

        c.start()
        await statuses(a, {"a": alive, "b": alive, "c": alive})
        await statuses(b, {"a": alive, "b": alive, "c": alive})
    finally:
        for agent in (a, b, c):
            agent.kill()
