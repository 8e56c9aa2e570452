"""The stock ``serf`` command line works at a proglog agent, and nobody does harm through the port that it uses."""

import asyncio
import base64
import json
import re
import signal
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from kit.serf import SerfAgent
from proglog.agent import serf_rpc
from proglog.agent.agent import Agent
from proglog.agent.config import AgentConfig
from proglog.errors import ConfigError
from proglog.testing.ports import free_port
from proglog.types import NodeName

Eventually = Callable[..., Awaitable[None]]
KEY, NEXT = bytes(range(32)), bytes(range(32, 64))
TOKEN = "a token"


@asynccontextmanager
async def an_agent(folder: Path, *seeds: str, token: str = TOKEN) -> AsyncGenerator[tuple[Agent, str]]:
    (folder / "keys").write_bytes(base64.b64encode(KEY))
    (folder / "keys").chmod(0o600)
    (folder / "token").write_text(f"{token}\n")
    addr = f"127.0.0.1:{free_port()}"
    agent = await Agent.start(
        AgentConfig(
            node_name=NodeName("p1"),
            data_dir=folder / "p1",
            bind_addr="127.0.0.1:0",
            rpc_port=0,
            start_join_addrs=seeds,
            encrypt_file=folder / "keys",
            tags={"role": "db"},
            event_handlers=("query:load=cat; echo from $SERF_SELF_NAME",),
            serf_rpc_addr=addr,
            serf_rpc_auth_file=folder / "token" if token else None,
        )
    )
    try:
        yield agent, addr
    finally:
        await agent.shutdown()


async def serf(addr: str, verb: str, *arguments: str, token: str = TOKEN, code: int = 0) -> str:
    """Run the stock command line against a port; return what it printed."""
    command = ["serf", verb, f"-rpc-addr={addr}", f"-rpc-auth={token}", *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=40, check=False
    )
    assert done.returncode == code, (command, done.stdout, done.stderr)
    return done.stdout + done.stderr


async def test_every_command_of_the_stock_command_line_works_at_a_proglog_agent(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with SerfAgent("s1", key=KEY, tags={"role": "stock"}) as stock, an_agent(tmp_path) as (agent, addr):
        assert "Successfully joined cluster by contacting 1 nodes" in await serf(addr, "join", stock.addr)
        with (tmp_path / "monitor").open("wb") as out:
            monitor = subprocess.Popen(
                ["serf", "monitor", f"-rpc-addr={addr}", f"-rpc-auth={TOKEN}", "-log-level=info"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            await _members(addr, eventually)
            await _events(addr, stock, tmp_path / "monitor", eventually)
        finally:
            monitor.send_signal(signal.SIGTERM)
            await asyncio.to_thread(monitor.wait, 10)
        said = await serf(addr, "query", "-timeout=2s", "load", "?")
        assert "Ack from 'p1'" in said
        assert "Ack from 's1'" in said
        assert "Response from 'p1': ?\nfrom p1" in said
        filtered = await serf(addr, "query", "-timeout=1s", "-tag", "role=^sto", "-format=json", "x")
        assert json.loads(filtered)["Acks"] == ["s1"]
        assert "Successfully contacted all live nodes" in await serf(addr, "reachability")
        await _round_trip(addr, eventually)
        await _keys(addr)
        info = json.loads(await serf(addr, "info", "-format=json"))
        assert info["agent"]["name"] == "p1"
        assert (info["serf"]["members"], info["serf"]["encrypted"], info["serf"]["health_score"]) == ("2", "true", "0")
        assert info["tags"]["zone"] == "north"

        await stock.kill()
        await eventually(lambda: "failed" in _statuses(agent), timeout=60, what="s1 failed")
        await serf(addr, "force-leave", "s1")
        assert "left" in _statuses(agent)
        await serf(addr, "force-leave", "-prune", "s1")
        assert _statuses(agent) == ["alive"]

        assert "Graceful leave complete" in await serf(addr, "leave")
        await asyncio.wait_for(agent.stopped.wait(), 20)
        assert agent.failure is None


def _statuses(agent: Agent) -> list[str]:
    return sorted(each.status.value for each in agent.membership.members())


async def _members(addr: str, eventually: Eventually) -> None:
    async def both() -> bool:
        listed = json.loads(await serf(addr, "members", "-format=json"))["members"]
        return {each["name"]: each["status"] for each in listed} == {"p1": "alive", "s1": "alive"}

    await eventually(both, timeout=30, what="both members")
    await serf(addr, "tags", "-set", "zone=north", "-set", "old=1")
    await serf(addr, "tags", "-delete", "old")
    shown = await serf(addr, "members", "-detailed", "-tag", "zone=nor.*", "-status", "alive")
    assert "role=db" in shown
    assert "zone=north" in shown
    assert "s1" not in shown
    assert "old" not in shown
    assert "Protocol Version: 5" in shown
    assert "s1" in await serf(addr, "members", "-name", "s.")
    assert "RE2" in await serf(addr, "members", "-name", "(", code=1)
    assert "rpc_addr" in await serf(addr, "tags", "-delete", "rpc_addr", code=1)


async def _events(addr: str, stock: SerfAgent, seen: Path, eventually: Eventually) -> None:
    await eventually(lambda: seen.exists() and "agent_started" in seen.read_text(), what="log lines of before")
    await serf(addr, "event", "-coalesce=false", "deploy", "v1")
    await stock.command("event", "-coalesce=false", "deploy", "v2")
    await eventually(
        lambda: all(f"[]byte{{0x76, {each}}}" in seen.read_text() for each in ("0x31", "0x32")),  # v1, v2
        what="both events in the monitor",
    )
    assert "512" in await serf(addr, "event", "deploy", "x" * 600, code=1)


async def _round_trip(addr: str, eventually: Eventually) -> None:
    async def known() -> bool:
        try:
            said = await serf(addr, "rtt", "s1")
        except AssertionError as exc:
            if "no coordinate" in str(exc).lower():
                return False
            raise
        return float(re.search(r"rtt: ([\d.]+) ms", said)[1]) < 500  # type: ignore[index]

    await eventually(known, timeout=30, what="the round trip to s1")


async def _keys(addr: str) -> None:
    old, new = base64.b64encode(KEY).decode(), base64.b64encode(NEXT).decode()
    assert "do not have this key" in await serf(addr, "keys", "-use", new, code=1)
    for step, key in (("-install", new), ("-use", new), ("-remove", old)):
        assert "Successfully" in await serf(addr, "keys", step, key)
    listed = await serf(addr, "keys", "-list")
    assert f"{new}  [2/2]" in listed, listed
    assert old not in listed
    await serf(addr, "keys", "-remove", new, code=1)  # it is the primary one


class Raw:
    """A client that says whatever a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.unpacker = msgpack.Unpacker(raw=False)

    def say(self, *values: Any) -> None:
        self.writer.write(b"".join(msgpack.packb(value) for value in values))

    async def hear(self) -> Any:
        """Return the next value; ``None`` at the end of the connection."""
        async with asyncio.timeout(15):
            while True:
                for value in self.unpacker:
                    return value
                try:
                    data = await self.reader.read(65_536)
                except OSError:
                    return None
                if not data:
                    return None
                self.unpacker.feed(data)


@asynccontextmanager
async def raw(addr: str) -> AsyncGenerator[Raw]:
    host, port = addr.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


def handshake(seq: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"Command": "handshake", "Seq": seq}, {"Version": 1}


def auth(token: str, seq: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"Command": "auth", "Seq": seq}, {"AuthKey": token}


async def test_nobody_acts_through_the_port_without_saying_who_it_is_and_nothing_said_there_ends_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serf_rpc, "HELLO_SECONDS", 1.0)
    async with an_agent(tmp_path) as (agent, addr):
        refused: list[tuple[list[Any], str]] = [
            ([{"Command": "members", "Seq": 7}], "Handshake required"),
            ([{"Command": "handshake", "Seq": 7}, {"Version": 2}], "Unsupported IPC version"),
            ([*handshake(), {"Command": "members", "Seq": 7}], "Authentication required"),
            ([*handshake(), {"Command": "leave", "Seq": 7}], "Authentication required"),
            ([*handshake(), *auth("wrong", 7)], "Invalid authentication token"),
            ([*handshake(), *auth(TOKEN), {"Command": "what", "Seq": 7}], "Unsupported command"),
        ]
        for said, error in refused:
            async with raw(addr) as client:
                client.say(*said)
                heard = []
                while (value := await client.hear()) is not None:
                    heard.append(value)
                assert heard[-1] == {"Seq": 7, "Error": error}
        for rubbish in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xc1" * 64,
            b"\xdf\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xff",
            b"\x93",
        ):
            async with raw(addr) as client:
                client.writer.write(rubbish)
                assert await client.hear() is None
        assert "expected HOST" in await serf(addr, "join", "a:b:c", code=1)
        assert "at most" in await serf(addr, "members", *(f"-tag=t{n}=x" for n in range(300)), code=1)
        assert agent.failure is None
        assert json.loads(await serf(addr, "members", "-format=json"))["members"][0]["name"] == "p1"


async def test_a_client_that_does_not_read_is_cut_off_and_costs_a_bounded_amount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(serf_rpc, "MAX_UNREAD_BYTES", 64 * 1024)
    async with an_agent(tmp_path) as (agent, addr), raw(addr) as client:
        client.say(*handshake(), *auth(TOKEN), {"Command": "stream", "Seq": 2}, {"Type": "user"})
        assert [(await client.hear())["Error"] for _ in range(3)] == ["", "", ""]

        def flood() -> bool:
            for number in range(2000):
                agent.membership.act(lambda serf, now, number=number: serf.send_event(f"e{number}", bytes(400), now))  # type: ignore[misc]
            return True

        client.reader._transport.pause_reading()  # type: ignore[attr-defined]

        async def cut_off() -> bool:
            flood()
            await asyncio.sleep(0)
            return len(agent_clients(agent)) == 0

        await eventually(cut_off, timeout=30, what="the client cut off")


def agent_clients(agent: Agent) -> list[str]:
    """Names of the tasks that serve the port's clients."""
    del agent
    return [task.get_name() for task in asyncio.all_tasks() if "SerfRpc._serve" in repr(task.get_coro())]


@pytest.mark.parametrize("addr", ["0.0.0.0:7373", "10.0.0.1:7373", "[::]:7373"])
def test_the_port_is_not_opened_to_others_without_a_token(tmp_path: Path, addr: str) -> None:
    with pytest.raises(ConfigError, match="--serf-rpc-auth-file"):
        AgentConfig(node_name=NodeName("p1"), data_dir=tmp_path, serf_rpc_addr=addr)


@pytest.mark.parametrize("content", [b"", b"\nsecond", b"\xff\xfe"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="--serf-rpc-auth-file"):
        serf_rpc.read_token(path)
    path.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        serf_rpc.read_token(path)
