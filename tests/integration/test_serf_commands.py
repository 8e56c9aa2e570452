"""Serf's commands through proglog agents, in one encrypted cluster with a stock agent: events, queries, tags, keys, rtt."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from kit.serf import SerfAgent
from proglog.agent.agent import Agent
from proglog.agent.config import AgentConfig
from proglog.client import (
    Client,
    ConfigError,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    UserEventSeen,
    connect,
)
from proglog.observe.health import own_findings
from proglog.types import NodeName

Eventually = Callable[..., Awaitable[None]]
KEY, NEXT = bytes(range(32)), bytes(range(32, 64))


@asynccontextmanager
async def an_agent(folder: Path, name: str, *seeds: str, encrypted: bool = True) -> AsyncGenerator[Agent]:
    key_file = folder / "keys"
    key_file.write_bytes(base64.b64encode(KEY) + b"\n")
    key_file.chmod(0o600)
    agent = await Agent.start(
        AgentConfig(
            node_name=NodeName(name),
            data_dir=folder / name,
            bind_addr="127.0.0.1:0",
            rpc_port=0,
            start_join_addrs=seeds,
            encrypt_file=key_file if encrypted else None,
            tags={"role": f"role-{name}"},
            event_handlers=(
                (
                    f"user:deploy=printf '%s %s %s ' $SERF_EVENT $SERF_USER_EVENT $SERF_TAG_ROLE >> {folder}/{name}.handled;"
                    f" cat >> {folder}/{name}.handled"
                ),
                "query:load=cat; echo $SERF_SELF_NAME is at 0.5",
                f"member-join,member-leave=cat >> {folder}/{name}.members",
            ),
        )
    )
    try:
        yield agent
    finally:
        await agent.shutdown()


def alive(agent: Agent) -> set[str]:
    return {each.name for each in agent.membership.members() if each.status.value == "alive"}


async def test_serfs_commands_work_through_a_proglog_agent_with_a_stock_agent_in_the_cluster(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with AsyncExitStack() as stack:
        stock = await stack.enter_async_context(SerfAgent("s1", key=KEY, tags={"role": "stock"}))
        p1 = await stack.enter_async_context(an_agent(tmp_path, "p1", stock.addr))
        second = await stack.enter_async_context(AsyncExitStack())
        p2 = await second.enter_async_context(an_agent(tmp_path, "p2"))
        one = await stack.enter_async_context(connect(p1.view.rpc_addr))
        two = await stack.enter_async_context(connect(p2.view.rpc_addr))

        # Joining at run time; an address at which nobody is says why.
        nobody = "127.0.0.1:1"
        outcomes = await two.membership.join([p1.membership.addr, nobody])
        assert outcomes[p1.membership.addr] == ""
        assert "refused" in outcomes[nobody].lower()
        everybody = {"p1", "p2", "s1"}
        await eventually(lambda: alive(p1) == alive(p2) == everybody, timeout=60, what="everybody alive")

        await _events(tmp_path, one, two, stock, eventually)
        await _queries(one, stock)
        await _tags(one, stock, eventually)
        await _round_trips(one, two, stock, eventually)
        await _keys(one, stock)

        # An agent that restarts has the keys that the cluster uses, not only those of its file.
        await second.aclose()
        again = await stack.enter_async_context(an_agent(tmp_path, "p2", p1.membership.addr))
        await eventually(lambda: alive(again) == everybody, timeout=60, what="p2 back with the new key")
        kept = tmp_path / "p2" / "keyring"
        assert kept.stat().st_mode & 0o777 == 0o600

        # Leaving by a word: the others see it left, and its process ends in order.
        async with connect(again.view.rpc_addr) as client:
            await client.membership.leave()
        await asyncio.wait_for(again.stopped.wait(), 20)
        assert again.failure is None

        async def p2_left() -> bool:
            return (await stock.members())["p2"].status == "left"

        await eventually(p2_left, timeout=20, what="p2 left at the stock agent")


async def _events(folder: Path, one: Client, two: Client, stock: SerfAgent, eventually: Eventually) -> None:
    heard: list[UserEventSeen] = []

    async def follow() -> None:
        async for event in two.membership.events(follow=True):
            heard.append(event)

    following = asyncio.ensure_future(follow())
    try:
        await one.membership.send_event("deploy", b"v1 \x00\xff")
        await stock.command("event", "-coalesce=false", "deploy", "v2")
        await stock.command("event", "-coalesce=true", "deploy", "v3")
        await eventually(
            lambda: sorted(each.payload for each in heard) == [b"v1 \x00\xff", b"v2", b"v3"], what="three events at p2"
        )
        assert [each.payload async for each in one.membership.events()] != []
        status = await one.status()
        assert any((each.kind, each.subject) == ("user-event", "deploy") for each in status.events)
        handled = folder / "p1.handled"
        await eventually(lambda: b"user deploy role-p1 v2\n" in _content(handled), what="the script's trace")
        with pytest.raises(InvalidRequestError, match="512"):
            await one.membership.send_event("deploy", bytes(600))
    finally:
        following.cancel()
        await asyncio.wait([following])


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


async def _queries(one: Client, stock: SerfAgent) -> None:
    replies = [reply async for reply in one.membership.query("load", b"?", ack=True, seconds=2.0)]
    assert {reply.node for reply in replies if reply.payload is None} == {"p1", "p2", "s1"}
    answers = {reply.node: reply.payload for reply in replies if reply.payload is not None}
    assert answers == {"p1": b"?\np1 is at 0.5\n", "p2": b"?\np2 is at 0.5\n"}
    chosen = [reply async for reply in one.membership.query("x", tags={"role": "^role-p2$"}, ack=True, seconds=1.0)]
    assert [reply.node for reply in chosen] == ["p2"]
    named = [reply async for reply in one.membership.query("x", nodes=["s1"], ack=True, relay_factor=1, seconds=1.0)]
    assert [reply.node for reply in named] == ["s1"]
    said = await stock.command("query", "-timeout=2s", "load", "!")
    assert "Response from 'p2': !\np2 is at 0.5" in said, said
    with pytest.raises(InvalidRequestError, match="_serf_"):
        _ = [reply async for reply in one.membership.query("_serf_install-key", b"x")]


async def _tags(one: Client, stock: SerfAgent, eventually: Eventually) -> None:
    tags = await one.membership.set_tags({"zone": "north"}, delete=["role"])
    assert set(tags) == {"zone", "rpc_addr"}
    with pytest.raises(InvalidRequestError, match="rpc_addr"):
        await one.membership.set_tags({}, delete=["rpc_addr"])
    with pytest.raises(ConfigError, match="there is room for 512"):
        await one.membership.set_tags({"zone": "north" * 200})

    async def shown() -> bool:
        return (await stock.members())["p1"].tags == tags

    await eventually(shown, timeout=30, what="p1's tags at the stock agent")


async def _round_trips(one: Client, two: Client, stock: SerfAgent, eventually: Eventually) -> None:
    async def known() -> bool:
        try:
            pairs = [
                await client.membership.round_trip(a, b)
                for client in (one, two)
                for a, b in (("p1", "s1"), ("p2", None))
            ]
        except Exception as exc:
            if "not known here" in str(exc):
                return False
            raise
        return all(0 < seconds < 0.5 for seconds in pairs)

    await eventually(known, timeout=30, what="coordinates of everybody")
    with pytest.raises(NotFoundError, match="no member 'x'"):
        await one.membership.round_trip("x")

    async def stock_knows() -> bool:
        return "rtt" in await stock.command("rtt", "p1", "p2")

    await eventually(stock_knows, timeout=30, what="the stock agent's estimate")


async def _keys(one: Client, stock: SerfAgent) -> None:
    old, new = base64.b64encode(KEY).decode(), base64.b64encode(NEXT).decode()
    with pytest.raises(PreconditionError, match="3 of 3 members do not have this key"):
        await one.membership.keys("use", NEXT)
    for operation, key in (("install", NEXT), ("use", NEXT), ("remove", KEY)):
        report = await one.membership.keys(operation, key)
        assert {each.node: each.error for each in report.answers} == {"p1": "", "p2": "", "s1": ""}
    report = await one.membership.keys("list")
    assert [(each.keys, each.primary) for each in report.answers] == [((NEXT,), NEXT)] * 3
    listed = await stock.command("keys", "-list")
    assert f"{new}  [3/3]" in listed, listed
    assert old not in listed
    report = await one.membership.keys("remove", NEXT)
    assert all(each.error for each in report.answers)  # it is the primary one
    with pytest.raises(InvalidRequestError, match="16, 24 or 32"):
        await one.membership.keys("install", b"short")


async def test_keys_of_plain_gossip_are_refused_with_the_flag_that_it_takes(tmp_path: Path) -> None:
    async with (
        an_agent(tmp_path, "p1", encrypted=False) as agent,
        connect(agent.view.rpc_addr) as client,
    ):
        with pytest.raises(PreconditionError, match="--encrypt-file"):
            await client.membership.keys("list")


async def test_an_agent_that_takes_plain_gossip_beside_sealed_says_so_and_what_is_next(tmp_path: Path) -> None:
    key_file = tmp_path / "keys"
    key_file.write_bytes(base64.b64encode(KEY))
    key_file.chmod(0o600)
    config = AgentConfig(
        node_name=NodeName("p1"),
        data_dir=tmp_path / "p1",
        bind_addr="127.0.0.1:0",
        rpc_port=0,
        encrypt_file=key_file,
        encrypt_mode="send",
    )
    agent = await Agent.start(config)
    try:
        snapshot = agent.view.snapshot(segments=False)
        assert not snapshot.node.gossip_encrypted
        (finding,) = [each for each in own_findings(snapshot) if "plain gossip" in each.cause]
        assert "--encrypt-mode send" in finding.advice
    finally:
        await agent.shutdown()
