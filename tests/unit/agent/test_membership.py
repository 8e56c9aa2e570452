"""The membership over real sockets: what its handler hears, and what becomes of trouble."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from kit.patience import patience
from proglog.agent.membership import Membership
from proglog.agent.membership_config import MembershipConfig
from proglog.agent.transport import MAX_STREAMS
from proglog.errors import ConfigError
from proglog.gossip.config import GossipConfig
from proglog.gossip.events import MemberEvent
from proglog.gossip.keyring import Keyring
from proglog.gossip.member_rules import MemberRules, parse_networks

Eventually = Callable[..., Awaitable[None]]
FAST = GossipConfig(
    probe_interval=0.2, probe_timeout=0.1, gossip_interval=0.05, suspicion_mult=3, leave_propagate_delay=0.3
)


class Recorder:
    """A handler that writes down what it hears."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.events: list[str] = []

    def join(self, name: str, addr: str) -> None:
        self.calls.append(("join", name, addr))

    def leave(self, name: str) -> None:
        self.calls.append(("leave", name))

    def observe(self, event: MemberEvent) -> None:
        self.events.append(f"{event.kind} {event.member.name}")


@asynccontextmanager
async def node(
    name: str, *seeds: str, handler: Any = None, tags: dict[str, str] | None = None, **options: Any
) -> AsyncGenerator[Membership]:
    recorder = handler or Recorder()
    config = MembershipConfig(
        node_name=name,
        bind_addr=options.pop("bind_addr", "127.0.0.1:0"),
        tags={"rpc_addr": f"{name}:8400"} if tags is None else tags,
        start_join_addrs=seeds,
        keyring=options.pop("keyring", None),
        label=options.pop("label", b""),
        rules=MemberRules(options.pop("networks", ())),
        gossip=FAST,
    )
    membership = Membership(config, recorder, observer=options.pop("observer", lambda _event: None))
    await membership.start()
    try:
        yield membership
    finally:
        await membership.close()


def statuses(membership: Membership) -> dict[str, str]:
    return {member.name: str(member.status) for member in membership.members()}


async def test_the_handler_hears_of_other_servers_and_never_of_its_own(eventually: Eventually) -> None:
    first, second = Recorder(), Recorder()
    async with node("a", handler=first, observer=first.observe) as a, node("b", a.addr, handler=second) as b:
        await eventually(lambda: statuses(a) == statuses(b) == {"a": "alive", "b": "alive"})
        assert first.calls == [("join", "b", "b:8400")]
        assert second.calls == [("join", "a", "a:8400")]
        assert first.events == ["member-join a", "member-join b"]


async def test_a_member_without_a_server_is_no_server(eventually: Eventually) -> None:
    recorder = Recorder()
    async with node("a", handler=recorder) as a, node("b", a.addr, tags={}):
        await eventually(lambda: len(statuses(a)) == 2)
        assert recorder.calls == []


async def test_a_server_that_moves_leaves_and_joins(eventually: Eventually) -> None:
    recorder = Recorder()
    async with node("a", handler=recorder) as a, node("b", a.addr) as b:
        await eventually(lambda: len(recorder.calls) == 1)
        b.set_tags({"rpc_addr": "b:9999"})
        await eventually(lambda: len(recorder.calls) == 3)
        b.set_tags({"rpc_addr": "b:9999", "zone": "north"})
        await eventually(lambda: {m.name: m.tags for m in a.members()}["b"].get("zone") == "north")
        b.set_tags({})
        await eventually(lambda: len(recorder.calls) == 4)
        assert recorder.calls[1:] == [("leave", "b"), ("join", "b", "b:9999"), ("leave", "b")]


async def test_a_node_that_leaves_is_seen_as_left_within_three_seconds(eventually: Eventually) -> None:
    recorder = Recorder()
    async with node("a", handler=recorder, observer=recorder.observe) as a, node("b", a.addr) as b:
        await eventually(lambda: len(recorder.calls) == 1)
        started = time.monotonic()
        await asyncio.gather(b.leave(), b.leave())
        assert time.monotonic() - started < patience(3.0)
        await b.leave()
        await b.close()
        await eventually(lambda: statuses(a)["b"] == "left")
        assert recorder.calls == [("join", "b", "b:8400"), ("leave", "b")]
        assert "member-failed b" not in recorder.events


async def test_a_node_that_is_gone_without_a_word_fails(eventually: Eventually) -> None:
    recorder = Recorder()
    async with node("a", handler=recorder) as a, node("b", a.addr) as b:
        await eventually(lambda: len(recorder.calls) == 1)
        await b.close()
        await eventually(lambda: statuses(a)["b"] == "failed", timeout=20)
        assert recorder.calls == [("join", "b", "b:8400"), ("leave", "b")]


async def test_a_node_whose_seeds_are_not_there_yet_joins_when_they_are(
    eventually: Eventually, free_port: Callable[[], int]
) -> None:
    seed = f"127.0.0.1:{free_port()}"
    with capture_logs() as logs:
        async with node("b", seed) as b:
            await eventually(lambda: any(log["event"] == "join_failed" for log in logs))
            async with node("a", bind_addr=seed) as a:
                await eventually(lambda: len(statuses(a)) == len(statuses(b)) == 2)


async def test_two_clusters_that_never_heard_of_each_other_become_one_through_a_seed(
    eventually: Eventually, free_port: Callable[[], int]
) -> None:
    """As after a cut in which everybody was restarted: each side has found itself, and is content."""
    away = f"127.0.0.1:{free_port()}"
    async with node("a") as a, node("b", a.addr, away) as b:
        await eventually(lambda: statuses(a) == statuses(b) == {"a": "alive", "b": "alive"})
        async with node("c", bind_addr=away) as c, node("d", c.addr) as d:
            everybody = dict.fromkeys("abcd", "alive")
            await eventually(lambda: all(statuses(each) == everybody for each in (a, b, c, d)))


async def test_a_list_of_seeds_that_names_the_node_itself_is_joined_through_the_others(
    eventually: Eventually, free_port: Callable[[], int]
) -> None:
    addrs = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    with capture_logs() as logs:
        async with node("a", *addrs, bind_addr=addrs[0]) as a:
            await eventually(lambda: any(log["event"] == "join_failed" for log in logs))
            assert all(log["addrs"] == [addrs[1]] for log in logs if log["event"] == "join_failed")
            async with node("b", *addrs, bind_addr=addrs[1]) as b:
                await eventually(lambda: len(statuses(a)) == len(statuses(b)) == 2)


async def test_with_the_same_key_nodes_find_each_other_and_with_another_they_do_not(eventually: Eventually) -> None:
    async with (
        node("a", keyring=Keyring((bytes(32),))) as a,
        node("b", a.addr, keyring=Keyring((bytes(32),))) as b,
        node("c", a.addr, keyring=Keyring((bytes(range(32)),))) as c,
    ):
        await eventually(lambda: len(statuses(a)) == len(statuses(b)) == 2)
        await asyncio.sleep(0.5)  # enough for several rounds: nothing may come of them
        assert statuses(c) == {"c": "alive"}
        assert "c" not in statuses(a)


class Failing:
    """A handler with a fault."""

    def join(self, name: str, addr: str) -> None:
        raise RuntimeError("the handler's fault")

    def leave(self, name: str) -> None:
        raise RuntimeError("the handler's fault")


async def test_a_handler_that_raises_is_reported_and_the_membership_lives_on(eventually: Eventually) -> None:
    with capture_logs() as logs:
        async with node("a", handler=Failing()) as a, node("b", a.addr) as b:
            await eventually(lambda: len(statuses(a)) == 2)
            await b.leave()
            await eventually(lambda: statuses(a)["b"] == "left")
    assert len([log for log in logs if log["event"] == "member_handler_failed"]) == 2


async def test_a_taken_address_is_named_with_what_to_do() -> None:
    async with node("a") as a:
        with pytest.raises(ConfigError, match=rf"{a.addr}.*--bind-addr"):
            async with node("b", bind_addr=a.addr):
                pass


async def test_an_address_is_free_again_when_close_returns() -> None:
    async with node("a") as a:
        addr = a.addr
    async with node("b", bind_addr=addr) as b:
        assert b.addr == addr


@pytest.mark.parametrize("addr", ["nonsense", "256.0.0.1:1", "no.such.host.invalid:1"])
async def test_an_address_that_cannot_be_is_refused(addr: str) -> None:
    with pytest.raises(ConfigError):
        async with node("a", bind_addr=addr):
            pass


async def test_tags_beyond_the_limit_are_refused_and_nothing_stays_bound(free_port: Callable[[], int]) -> None:
    addr = f"127.0.0.1:{free_port()}"
    with pytest.raises(ConfigError, match="512"):
        async with node("a", bind_addr=addr, tags={"long": "x" * 600}):
            pass
    async with node("a", bind_addr=addr):
        pass


async def test_a_flood_of_garbage_and_of_idle_streams_does_not_hide_a_node_from_its_peers(
    eventually: Eventually,
) -> None:
    recorder = Recorder()
    async with node("a", observer=recorder.observe) as a, node("b", a.addr) as b:
        await eventually(lambda: len(statuses(a)) == len(statuses(b)) == 2)
        host, port = a.addr.split(":")
        writers = []
        for _ in range(MAX_STREAMS + 10):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"\x06\x83")
            writers.append(writer)
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            for number in range(3000):
                udp.sendto(os.urandom(number % 200), (host, int(port)))
                if number % 100 == 0:
                    await asyncio.sleep(0)
        await asyncio.sleep(1.0)  # several rounds of probing, in which nobody may be accused
        assert statuses(a) == statuses(b) == {"a": "alive", "b": "alive"}
        assert recorder.events == ["member-join a", "member-join b"]
        for writer in writers:
            writer.close()


PROCESS = """
import asyncio, sys
from proglog.agent.membership import Membership
from proglog.agent.membership_config import MembershipConfig

class Quiet:
    def join(self, name, addr): pass
    def leave(self, name): pass

def show(event):
    print(event.kind, event.member.name, flush=True)

async def main():
    config = MembershipConfig(node_name="p", bind_addr="127.0.0.1:0", start_join_addrs=(sys.argv[1],))
    membership = Membership(config, Quiet(), observer=show)
    await membership.start()
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_process_that_was_stopped_is_alive_again_and_has_accused_nobody(eventually: Eventually) -> None:
    recorder = Recorder()
    root = str(Path(__file__).parents[3])
    async with node("a", observer=recorder.observe) as a, node("b", a.addr) as b:
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, a.addr],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": root},
            text=True,
        )
        try:
            await eventually(lambda: statuses(a).get("p") == statuses(b).get("p") == "alive", timeout=20)
            process.send_signal(signal.SIGSTOP)
            await eventually(lambda: statuses(a)["p"] == "failed", timeout=20)
            process.send_signal(signal.SIGCONT)
            await eventually(lambda: statuses(a)["p"] == statuses(b)["p"] == "alive", timeout=20)
            await asyncio.sleep(1.5)  # its stale probes would have accused by now
        finally:
            process.kill()
        told, _ = process.communicate()
    assert "member-join a" in told
    assert "member-failed" not in told


async def test_a_stream_from_a_network_that_is_not_allowed_is_closed_unread(eventually: Eventually) -> None:
    networks = parse_networks(["127.0.0.1"], "--gossip-allow")
    async with node("a", networks=networks) as a, node("b", a.addr, networks=networks) as b:
        await eventually(lambda: statuses(a) == statuses(b) == {"a": "alive", "b": "alive"})
        host, _, port = a.addr.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.2", 0))
        async with asyncio.timeout(patience(1.0)):
            assert await reader.read() == b""
        writer.close()
        await eventually(lambda: a.gossip_status().malformed == 1)


async def test_datagrams_are_counted_on_both_sides(eventually: Eventually) -> None:
    async with node("a") as a, node("b", a.addr) as b:
        await eventually(lambda: min(a.gossip_status().datagrams_received, b.gossip_status().probes_direct) > 3)
        status = a.gossip_status()
    assert status.exchanges >= 1
    assert status.datagrams_sent > 3
    assert 20 * status.datagrams_sent < status.bytes_sent < 1400 * status.datagrams_sent
    assert 20 * status.datagrams_received < status.bytes_received


async def test_a_datagram_that_the_kernel_refuses_is_lost_and_counted() -> None:
    async with node("a") as a:
        sent = a.gossip_status().datagrams_sent
        assert a._transport is not None
        a._transport.send(b"to everybody", ("255.255.255.255", 9))  # not allowed on this socket
        status = a.gossip_status()
    assert (status.unsent, status.datagrams_sent) == (1, sent)


async def test_a_node_outside_its_own_allowed_networks_does_not_start() -> None:
    with pytest.raises(ConfigError, match=r"--gossip-allow: this node's own address 127\.0\.0\.1"):
        async with node("a", networks=parse_networks(["10.0.0.0/8"], "--gossip-allow")):
            pass


async def test_a_seed_with_another_label_does_not_answer(eventually: Eventually) -> None:
    with capture_logs() as logs:
        async with node("a", label=b"blue") as a, node("b", a.addr, label=b"red"):
            await eventually(lambda: any(log["event"] == "join_failed" for log in logs))
            assert statuses(a) == {"a": "alive"}
    refused = next(log["error"] for log in logs if log["event"] == "join_failed")
    assert refused == "refused: the label 'red', but this cluster's is 'blue'"
