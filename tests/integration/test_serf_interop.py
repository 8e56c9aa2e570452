"""proglog's membership and stock ``serf agent`` processes in one encrypted cluster, on loopback.

One cluster serves all assertions, in the order of its life: joining, peace, tags, keys, departures.
"""

import asyncio
import base64
import os
import resource
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from kit.patience import patience
from kit.serf import SerfAgent
from proglog.agent.membership import Membership
from proglog.agent.membership_config import MembershipConfig
from proglog.gossip.events import MemberEvent
from proglog.gossip.keyring import Keyring

Eventually = Callable[..., Awaitable[None]]

KEY, NEXT_KEY = bytes(range(32)), bytes(range(32, 64))
PEACE_SECONDS = 1800.0 if "PROGLOG_LONG" in os.environ else 6.0
DETECTION_SECONDS = 40.0


class Recorder:
    """A handler and observer that writes down what it hears."""

    def __init__(self) -> None:
        self.servers: dict[str, str] = {}
        self.events: list[tuple[str, str]] = []

    def join(self, name: str, addr: str) -> None:
        self.servers[name] = addr

    def leave(self, name: str) -> None:
        del self.servers[name]

    def observe(self, event: MemberEvent) -> None:
        self.events.append((event.kind.value, event.member.name))


@asynccontextmanager
async def proglog_node(name: str, recorder: Recorder, *seeds: str) -> AsyncGenerator[Membership]:
    config = MembershipConfig(
        node_name=name,
        bind_addr="127.0.0.1:0",
        tags={"rpc_addr": f"127.0.0.1:84{name[-1]}0"},
        start_join_addrs=seeds,
        keyring=Keyring((KEY,)),
    )
    membership = Membership(config, recorder, observer=recorder.observe)
    await membership.start()
    try:
        yield membership
    finally:
        await membership.close()


def seen_by(membership: Membership) -> dict[str, str]:
    return {member.name: member.status.value for member in membership.members()}


async def statuses(agent: SerfAgent) -> dict[str, str]:
    return {name: member.status for name, member in (await agent.members()).items()}


@pytest.mark.timeout(300 + PEACE_SECONDS)
async def test_an_encrypted_cluster_of_stock_agents_and_proglog_nodes_lives_through_everything(
    eventually: Eventually,
) -> None:
    recorders = {"p1": Recorder(), "p2": Recorder()}
    async with AsyncExitStack() as stack:
        s1, s2, s3 = [
            await stack.enter_async_context(SerfAgent(name, key=KEY, tags={"role": f"stock-{name}"}))
            for name in ("s1", "s2", "s3")
        ]
        await s2.join(s1.addr)
        p1 = await stack.enter_async_context(proglog_node("p1", recorders["p1"], s1.addr))
        p2 = await stack.enter_async_context(proglog_node("p2", recorders["p2"], p1.addr))
        await s3.join(p2.addr)  # a stock agent that joins through a proglog node

        everybody = dict.fromkeys(("p1", "p2", "s1", "s2", "s3"), "alive")

        async def all_agree(expected: dict[str, str], *agents: SerfAgent) -> bool:
            views = [seen_by(p1), *[await statuses(agent) for agent in agents]]
            return all(view == expected for view in views)

        async def everybody_is_alive() -> bool:
            return seen_by(p2) == everybody and await all_agree(everybody, s1, s2, s3)

        await eventually(everybody_is_alive, timeout=90, what="everybody alive everywhere")

        # Tags go both ways, and the servers among the members reach the handler.
        assert {m.name: m.tags.get("role") for m in p1.members() if m.name.startswith("s")} == {
            name: f"stock-{name}" for name in ("s1", "s2", "s3")
        }
        assert (await s3.members())["p1"].tags == {"rpc_addr": "127.0.0.1:8410"}
        assert recorders["p1"].servers == {"p2": "127.0.0.1:8420"}
        assert recorders["p2"].servers == {"p1": "127.0.0.1:8410"}

        # Peace: nobody is ever seen as anything but alive, and it costs next to nothing.
        known = {name: len(recorder.events) for name, recorder in recorders.items()}
        began, cpu_before = time.monotonic(), _cpu_seconds()
        while time.monotonic() - began < PEACE_SECONDS:
            for agent in (s1, s3):
                assert await statuses(agent) == everybody
            assert seen_by(p1) == seen_by(p2) == everybody
            await asyncio.sleep(2)
        share = (_cpu_seconds() - cpu_before) / (time.monotonic() - began)
        assert {name: len(recorder.events) for name, recorder in recorders.items()} == known
        assert [line for line in (s1.log + s2.log + s3.log).splitlines() if "uspect" in line] == []
        assert share < 0.05, f"two nodes and the polling of this test took {share:.1%} of a core"
        assert all(member.rtt_ms is not None for member in p1.members() if member.name != "p1")

        # New tags reach the other side.
        p1.set_tags({"rpc_addr": "127.0.0.1:8419", "zone": "north"})
        await s1.command("tags", "-set", "role=changed")

        async def tags_changed() -> bool:
            theirs = {m.name: m.tags for m in p2.members()}["s1"]
            ours = (await s2.members())["p1"].tags
            followed = recorders["p2"].servers
            new_tags = {"rpc_addr": "127.0.0.1:8419", "zone": "north"}
            return (theirs, followed, ours) == ({"role": "changed"}, {"p1": "127.0.0.1:8419"}, new_tags)

        await eventually(tags_changed, timeout=60, what="new tags on both sides")

        # The stock tools reach proglog nodes: acknowledgements of a query, and everybody's keys.
        assert "Successfully contacted all live nodes" in await s1.command("reachability")
        old, new = base64.b64encode(KEY).decode(), base64.b64encode(NEXT_KEY).decode()
        await s1.command("keys", "-install", new)
        await s1.command("keys", "-use", new)
        await s1.command("keys", "-remove", old)
        listed = await s1.command("keys", "-list")
        assert f"{new}  [5/5]" in listed, listed
        assert old not in listed
        await eventually(everybody_is_alive, timeout=10, what="everybody alive after the keys were exchanged")

        # A stock agent that is killed fails; one that leaves has left; the handlers hear of both.
        await s3.kill()
        after_kill = everybody | {"s3": "failed"}
        began = time.monotonic()
        await eventually(lambda: all_agree(after_kill, s1, s2), timeout=DETECTION_SECONDS, what="s3 failed everywhere")
        print(f"killed agent failed everywhere after {time.monotonic() - began:.1f} s")
        # What failed is made to leave by a word of ours.
        p1.force_leave("s3", prune=False)
        after_word = everybody | {"s3": "left"}
        await eventually(lambda: all_agree(after_word, s1, s2), timeout=10, what="s3 left everywhere")
        await s2.leave()
        after_leave = after_word | {"s2": "left"}
        await eventually(lambda: all_agree(after_leave, s1), timeout=DETECTION_SECONDS, what="s2 left everywhere")

        # A proglog node that leaves has left; one that is gone without a word fails.
        began = time.monotonic()
        await p2.leave()
        took = time.monotonic() - began
        await p2.close()
        assert took < patience(3.0), f"leaving took {took:.2f} s"
        after_ours = after_leave | {"p2": "left"}
        await eventually(lambda: all_agree(after_ours, s1), timeout=10, what="p2 left everywhere")
        await p1.close()

        async def p1_failed() -> bool:
            return (await statuses(s1))["p1"] == "failed"

        await eventually(p1_failed, timeout=DETECTION_SECONDS, what="p1 failed")
        assert recorders["p1"].servers == {}
        assert ("member-failed", "s3") in recorders["p1"].events
        assert ("member-leave", "s2") in recorders["p1"].events


async def test_a_node_without_the_key_is_refused_and_told_why(eventually: Eventually) -> None:
    from structlog.testing import capture_logs

    recorder = Recorder()
    async with SerfAgent("s1", key=KEY) as agent:
        with capture_logs() as logs:
            config = MembershipConfig(node_name="p1", bind_addr="127.0.0.1:0", start_join_addrs=(agent.addr,))
            membership = Membership(config, recorder)
            await membership.start()
            try:
                await eventually(lambda: any(log["event"] == "join_failed" for log in logs), what="a refused join")
            finally:
                await membership.close()
        assert "encrypt" in next(log["error"] for log in logs if log["event"] == "join_failed")
        assert await statuses(agent) == {"s1": "alive"}


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
