"""A restored directory takes no record under a name that is taken, though its clients come before its peers."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from kit.patience import patience
from proglog.client import connect
from proglog.testing.processes import AgentProcess


async def produce(agent: AgentProcess, *values: bytes) -> None:
    async with connect(agent.rpc_addr) as client, client.producer() as producer:
        await producer.send_values(list(values))


async def all_values(agent: AgentProcess, count: int) -> set[bytes]:
    """Wait for that many records; return their values."""
    async with connect(agent.rpc_addr) as client:
        async for snapshot in client.watch():
            if snapshot.log.end_offset >= count:
                break
        values = [value async for fetched in client.consume() for value in fetched.values()]
    assert len(values) == count
    return set(values)


async def test_a_backup_that_is_written_to_at_once_loses_nothing_and_forks_nothing(tmp_path: Path) -> None:
    first = AgentProcess("a", tmp_path)
    first.start()
    second = AgentProcess("b", tmp_path, seeds=(first.gossip_addr,))
    second.start()
    old, lost, new = ([b"%s %d" % (kind, number) for number in range(50)] for kind in (b"old", b"lost", b"new"))
    try:
        await produce(first, *old)
        await all_values(second, 50)
        first.stop()
        shutil.copytree(tmp_path / "a", tmp_path / "backup")
        first.start()
        await produce(first, *lost)
        await all_values(second, 100)
        first.kill()
        shutil.rmtree(tmp_path / "a")
        shutil.move(tmp_path / "backup", tmp_path / "a")

        first.start()
        await produce(first, *new)

        everything = {*old, *lost, *new}
        assert await all_values(first, 150) == everything
        assert await all_values(second, 150) == everything
        assert "replication_forked" not in first.telemetry.read_text() + second.telemetry.read_text()
    finally:
        second.kill()
        first.kill()


async def test_a_node_whose_peers_are_gone_takes_records_after_two_seconds(
    tmp_path: Path, eventually_sync: Callable[..., None]
) -> None:
    first = AgentProcess("a", tmp_path)
    first.start()
    second = AgentProcess("b", tmp_path, seeds=(first.gossip_addr,))
    second.start()
    try:
        await produce(first, b"before")
        await all_values(second, 1)
        # One that is killed before it has saved whom it knows has nobody to wait for.
        members = tmp_path / "a" / "members"
        eventually_sync(lambda: members.exists() and second.gossip_addr in members.read_text())
        second.kill()
        first.kill()

        first.start()
        started = time.monotonic()
        await produce(first, b"alone")

        assert time.monotonic() - started < patience(20)
        assert await all_values(first, 2) == {b"before", b"alone"}
        eventually_sync(lambda: "peer_check_incomplete" in first.telemetry.read_text())  # a thread writes telemetry
    finally:
        second.kill()
        first.kill()
