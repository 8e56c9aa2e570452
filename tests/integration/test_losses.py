"""What nobody can give back: listed, accepted with who and why, remembered, and no alarm any more."""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from proglog.client import connect
from proglog.errors import InvalidRequestError, NotFoundError
from proglog.observe.health import findings
from proglog.testing.processes import AgentProcess


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    started = AgentProcess("a", tmp_path, flags={"segment-bytes": str(1 << 20)})
    started.start()
    yield started
    started.kill()


def proglog(agent: AgentProcess, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "proglog", *words, "--addr", agent.rpc_addr]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


async def produce(agent: AgentProcess, acks: int = 1) -> None:
    async with (
        connect(agent.rpc_addr) as client,
        client.producer(batch_bytes=64 * 1024, acks=acks, ack_timeout=30) as producer,
    ):
        await producer.send_values([b"%d " % number * 12 for number in range(20_000)])


async def flip(agent: AgentProcess) -> tuple[int, int]:
    """Have the agent find a flipped bit in a sealed segment; return the range that it costs."""
    async with connect(agent.rpc_addr) as client:
        first, *_ = (await client.status(segments=True)).segments
        store = agent.directory / "a" / f"{first.base_offset:020d}.log"
        with store.open("r+b") as file:
            file.seek(first.bytes // 2)
            byte = file.read(1)
            file.seek(first.bytes // 2)
            file.write(bytes([byte[0] ^ 1]))
        *_, last = [each async for each in client.verify(first.base_offset)]
    (lost,) = last.problems
    return lost.start_offset, lost.end_offset


async def damage(agent: AgentProcess) -> tuple[int, int]:
    """As :func:`flip`, where nobody can repair it."""
    start, end = await flip(agent)
    async with connect(agent.rpc_addr) as client:
        (lost,) = (await client.status()).log.damaged
    assert (lost.start_offset, lost.end_offset) == (start, end)
    return start, end


async def alarms(agent: AgentProcess) -> list[str]:
    async with connect(agent.rpc_addr) as client:
        return [each.key for each in findings(await client.status()) if each.key.startswith("log-damaged")]


async def test_a_loss_that_is_accepted_alarms_nobody_and_is_shown_after_a_restart(agent: AgentProcess) -> None:
    await produce(agent)
    start, end = await damage(agent)
    assert await alarms(agent) == ["log-damaged/a"]
    listed = json.loads(proglog(agent, "losses", "list", "-o", "json").stdout)["items"]
    assert [(each["start_offset"], each["end_offset"], each["accepted_by"]) for each in listed] == [(start, end, None)]

    done = proglog(agent, "losses", "accept", f"{start}:{end}", "--reason", "no copy was made")
    assert (done.returncode, done.stderr) == (0, "1 damaged range accepted as lost\n")
    assert await alarms(agent) == []

    for how in ("stop", "kill"):
        getattr(agent, how)()
        agent.start()
        assert await alarms(agent) == []
        (again,) = json.loads(proglog(agent, "losses", "list", "-o", "json").stdout)["items"]
        assert (again["start_offset"], again["end_offset"], again["accepted_by"], again["reason"]) == (
            start,
            end,
            "a client without a certificate",
            "no copy was made",
        )
        assert again["found_at"] == listed[0]["found_at"] is not None
    assert "no copy was made" in proglog(agent, "status").stdout


async def test_damage_that_was_repaired_is_a_finding_until_an_operator_accepts_it(
    agent: AgentProcess, tmp_path: Path, eventually: Callable[..., Awaitable[None]]
) -> None:
    def repairs() -> list[str]:
        listed = json.loads(proglog(agent, "losses", "list", "-o", "json").stdout)["items"]
        return [each["detail"] for each in listed if each["kind"] == "repaired"]

    with AgentProcess("b", tmp_path, seeds=(agent.gossip_addr,)):
        await produce(agent, acks=2)
        async with connect(agent.rpc_addr) as client:
            start, _ = await flip(agent)

            async def is_repaired() -> bool:
                status = await client.status()
                found = {each.rule: each for each in findings(status)}
                return not status.log.damaged and "damage-repaired" in found

            await eventually(is_repaired, what="it is whole again, and a finding", timeout=30)
            await eventually((agent.directory / "a" / "conditions").exists, what="it is written down")
        agent.kill()
        agent.start()  # without the peer's word: the directory remembers
        checked = proglog(agent, "check", "--disk-free", "0", "--explain")
        assert checked.returncode == 1
        assert "a had damage on its disk, and restored the records from other members" in checked.stdout
        assert f"proglog losses list --addr {agent.rpc_addr}" in checked.stdout
        (detail,) = repairs()
        assert f"offsets [{start}, " in detail

        assert "--reason is missing" in proglog(agent, "losses", "accept", "repaired").stderr
        done = proglog(agent, "losses", "accept", "repaired", "--reason", "the disk was replaced")
        assert (done.returncode, done.stderr) == (0, "1 repair accepted as known\n")
        for how in ("stop", "kill"):
            assert repairs() == []
            getattr(agent, how)()
            agent.start()
        again = proglog(agent, "losses", "accept", "repaired", "--reason", "once more")
        assert (again.returncode, "no damage was repaired in this log" in again.stderr) == (6, True)


async def test_an_accepted_loss_that_a_peer_has_after_all_is_healed(
    agent: AgentProcess, tmp_path: Path, eventually: Callable[..., Awaitable[None]]
) -> None:
    with AgentProcess("b", tmp_path, seeds=(agent.gossip_addr,)) as peer:
        await produce(agent, acks=2)
        peer.stop()
        start, end = await damage(agent)
        assert proglog(agent, "losses", "accept", f"{start}:{end}", "--reason", "the copy is gone").returncode == 0
        peer.start()
        async with connect(agent.rpc_addr) as client:

            async def is_whole() -> bool:
                log = (await client.status()).log
                return log.damaged == log.accepted == ()

            await eventually(is_whole, what="what the peer has is back", timeout=30)
            values = [value async for batch in client.consume() for value in batch.values()]
        assert values == [b"%d " % number * 12 for number in range(20_000)]


async def test_records_of_one_origin_are_exported_and_appended_again(agent: AgentProcess, tmp_path: Path) -> None:
    await produce(agent)
    async with connect(agent.rpc_addr) as client:
        origin = (await client.status()).node.origin.hex()
    done = proglog(agent, "losses", "export", f"{origin[:8]}:5001:5004")
    assert done.returncode == 0, done.stderr
    assert "3 records written" in done.stderr
    assert [json.loads(line)["sequence"] for line in done.stdout.splitlines()] == [5001, 5002, 5003]
    written = tmp_path / "one-side-only"
    written.write_text(done.stdout)

    appended = proglog(agent, "produce", "--format", "jsonl", str(written))
    assert appended.returncode == 0, appended.stderr
    async with connect(agent.rpc_addr) as client:
        values = [value async for batch in client.consume() for value in batch.values()]
    assert values[-3:] == [b"%d " % number * 12 for number in range(4999, 5002)]  # after the origin's first batch


async def test_bad_ranges_and_missing_reasons_are_refused_with_what_was_expected(agent: AgentProcess) -> None:
    for words, expected in (
        (("accept", "1-5", "--reason", "x"), "'1-5' is no range: expected START:END"),
        (("accept", "5:1", "--reason", "x"), "'5:1' is no range: expected START:END"),
        (("accept", "1:5"), "--reason is missing"),
        (("export", "15"), "names no sequences: expected ORIGIN:START:END"),
        (("export", "abc:1:5"), "no origin begins with 'abc'"),
        (("list", "1:5"), "takes neither a range nor --reason"),
        (("accept", "1:5", "--reason", "x"), "no damaged range that is not accepted yet lies within offsets [1, 5)"),
    ):
        refused = proglog(agent, "losses", *words)
        assert refused.returncode != 0
        assert expected in refused.stderr
        assert "Traceback" not in refused.stderr
    async with connect(agent.rpc_addr) as client:
        with pytest.raises(InvalidRequestError):
            await client.accept_losses(0, 5, "x" * 501)
        with pytest.raises(InvalidRequestError):
            await client.accept_losses(5, 0, "x")
        with pytest.raises(NotFoundError):
            await client.accept_losses(0, 5, "x")
