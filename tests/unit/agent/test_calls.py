"""Calls to where others may be, and streams from strangers, over real sockets: every one ends, none is in the way."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from kit.patience import patience
from proglog.agent import membership_watch
from proglog.agent.membership import Membership
from proglog.agent.membership_config import MembershipConfig
from proglog.agent.transport import MAX_STRANGERS_BYTES, MAX_STREAMS, STRANGERS_SMALL_BYTES
from proglog.gossip.address_book import KnownAddress
from proglog.gossip.config import GossipConfig
from proglog.gossip.events import NameVoted
from proglog.gossip.keyring import Keyring
from proglog.gossip.wire import Type, encode

Eventually = Callable[..., Awaitable[None]]
FAST = GossipConfig(
    probe_interval=0.2, probe_timeout=0.1, gossip_interval=0.05, suspicion_mult=3, leave_propagate_delay=0.3
)


class Nobody:
    """A handler of a node without servers."""

    def join(self, name: str, addr: str) -> None:
        """Do nothing."""

    def leave(self, name: str) -> None:
        """Do nothing."""


@asynccontextmanager
async def node(name: str, *seeds: str, **options: Any) -> AsyncGenerator[Membership]:
    on_name = options.pop("on_name", lambda vote: None)
    config = MembershipConfig(
        node_name=name,
        bind_addr=options.pop("bind_addr", "127.0.0.1:0"),
        start_join_addrs=seeds,
        gossip=options.pop("gossip", FAST),
        **options,
    )
    made = Membership(config, Nobody(), on_name=on_name)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


def alive(node: Membership) -> set[str]:
    return {member.name for member in node.members() if member.status == "alive"}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Host names by what they stand for: addresses, an error, or an event that a look-up waits for."""
    known: dict[str, Any] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        meaning = known.get(host)
        if meaning is None:
            return real(host, port, *args, **kwargs)
        if isinstance(meaning, threading.Event):
            meaning.wait(30)
            raise OSError("nobody answered")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0)) for address in meaning]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield known
    for meaning in known.values():
        if isinstance(meaning, threading.Event):
            meaning.set()


@pytest.mark.parametrize("bad", [".svc.cluster.local:8401", "x" * 64 + ".example:8401", "no.such.host.invalid:8401"])
async def test_a_seed_that_is_no_name_does_not_keep_the_next_one_from_being_joined(
    eventually: Eventually, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logs:
        async with node("a") as a, node("b", bad, a.addr) as b:
            await eventually(lambda: alive(b) == {"a", "b"})
            monkeypatch.setattr(membership_watch, "UNANSWERED_SECONDS", 0.0)
            assert [problem.key for problem in b.problems()] == [f"seed/{bad}"]
    assert [log for log in logs if log["event"] == "gossip_step_failed"] == []


async def test_a_name_that_nobody_answers_delays_neither_start_nor_calls_nor_the_stop(
    eventually: Eventually, names: dict[str, Any]
) -> None:
    names["silent.example"] = threading.Event()
    async with node("a") as a:
        began = time.monotonic()
        async with node("b", "silent.example:8401", a.addr) as b:
            assert time.monotonic() - began < patience(1.0)
            await eventually(lambda: alive(b) == {"a", "b"})
            stopped = time.monotonic()
            await b.leave()
            await b.close()
            assert time.monotonic() - stopped < patience(3.0)
        lookups = [thread for thread in threading.enumerate() if thread.name.startswith("resolve-silent")]
        assert [thread.daemon for thread in lookups] == [True]


async def test_all_addresses_of_a_name_are_tried_and_looked_up_again(
    eventually: Eventually, names: dict[str, Any], free_port: Callable[[], int]
) -> None:
    port = free_port()
    names["pods.example"] = ["127.0.0.9", "127.0.0.8"]
    async with node("b", f"pods.example:{port}") as b:
        async with node("a", bind_addr=f"127.0.0.7:{port}") as a:
            names["pods.example"] = ["127.0.0.9", "127.0.0.7"]
            await eventually(lambda: alive(a) == alive(b) == {"a", "b"}, timeout=20)
        assert b.problems() == []


async def test_a_name_with_more_addresses_than_a_packet_holds_is_tried_to_the_last(
    eventually: Eventually, names: dict[str, Any], free_port: Callable[[], int]
) -> None:
    port = free_port()
    names["pods.example"] = [f"127.0.1.{number}" for number in range(1, 61)]
    async with node("a", bind_addr=f"127.0.1.37:{port}") as a, node("b", f"pods.example:{port}") as b:
        await eventually(lambda: alive(a) == alive(b) == {"a", "b"}, timeout=20)


async def test_a_port_that_speaks_grpc_is_named_as_such(eventually: Eventually) -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        with capture_logs() as logs:
            async with node("b", f"127.0.0.1:{port}"):
                await eventually(lambda: any(log["event"] == "join_failed" for log in logs))
        (first, *_) = [log for log in logs if log["event"] == "join_failed"]
        assert "HTTP/2 (gRPC), not gossip" in first["error"]
        assert first["addrs"] == [f"127.0.0.1:{port}"]
    finally:
        await server.stop(None)


async def test_a_node_that_is_not_alone_does_not_warn_of_a_remembered_one_that_is_away(
    eventually: Eventually, free_port: Callable[[], int]
) -> None:
    with capture_logs() as logs:
        gone = KnownAddress(host="127.0.0.1", port=free_port(), name="gone")
        often = replace(FAST, reconnect_interval=0.5)
        async with node("a") as a, node("b", a.addr, remembered=(gone,), gossip=often) as b:
            await eventually(lambda: alive(b) == {"a", "b"})
            await eventually(lambda: any(log["event"] == "join_attempt_failed" for log in logs), timeout=30)
            b.force_leave("gone", prune=False)
            assert [each.name for each in b.known_addresses()] == ["a"]
    assert len([log for log in logs if log["event"] == "join_failed"]) <= 1


async def test_a_node_that_nobody_answers_says_that_it_is_alone(
    free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = f"127.0.0.1:{free_port()}"
    async with node("a", seed) as a:
        assert [(each.key, each.critical) for each in a.problems()] == [("alone", False)]
        monkeypatch.setattr(membership_watch, "ALONE_SECONDS", 0.0)
        (problem,) = a.problems()
    assert (problem.key, problem.critical) == ("alone", True)
    assert problem.detail.startswith(f"is isolated: no answer from {seed}")
    assert problem.since_ms >= 0


async def test_a_seed_that_is_the_node_itself_is_no_problem(
    eventually: Eventually, names: dict[str, Any], free_port: Callable[[], int]
) -> None:
    port = free_port()
    names["pod-0.example"] = ["127.0.0.1"]
    async with node("a", f"pod-0.example:{port}", bind_addr=f"127.0.0.1:{port}") as a:
        await eventually(lambda: a.problems() == [], what="that it is the node itself")


async def test_one_that_remembers_members_and_hears_none_says_so_and_why(
    eventually: Eventually, free_port: Callable[[], int]
) -> None:
    gone = KnownAddress(host="127.0.0.1", port=free_port(), name="gone")
    async with node("a", remembered=(gone,)) as a:
        await eventually(lambda: "(" in a.problems()[0].detail, what="the reason of the first call")
        (problem,) = a.problems()
        assert (problem.key, problem.critical) == ("alone", False)
        assert f"no answer from 127.0.0.1:{gone.port} (" in problem.detail


async def test_a_node_whose_name_is_taken_loses_the_vote_and_both_sides_say_so(eventually: Eventually) -> None:
    lost: list[NameVoted] = []
    with capture_logs() as logs:
        async with node("a") as a, node("b", a.addr) as b, node("b", a.addr, on_name=lost.append) as second:
            await eventually(lambda: [each.standing for each in lost] == ["contested", "lost"], what="the vote")
            (problem,) = second.problems()
            assert (problem.key, problem.critical, problem.unready) == ("name", True, True)
            assert problem.detail == f"has lost its name to the node at {b.addr}, and shuts down"
            assert (lost[-1].matching, lost[-1].answers) == (0, 1)
            await eventually(lambda: a.problems() != [])
            (problem,) = a.problems()
            assert (problem.key, problem.critical, problem.unready) == ("conflict/b", True, False)
            assert f"knows two members named b: the other one is at {second.addr}" in problem.detail
            await eventually(lambda: [each.unready for each in b.problems()] == [False], what="a vote that is held")
            (problem,) = b.problems()
            assert problem.detail.startswith(f"has a namesake at {second.addr}, which the other members ignore: 1 of 1")
            await second.leave()  # says nothing: b would be the one that leaves
            assert alive(a) == {"a", "b"}
    assert {"name_contested", "name_held", "name_lost"} <= {log["event"] for log in logs}


async def test_a_node_that_joins_asks_for_its_name_and_one_that_finds_nobody_does_not_wait(
    eventually: Eventually, free_port: Callable[[], int]
) -> None:
    async with node("a") as a, node("b", a.addr) as b, node("c", f"127.0.0.1:{free_port()}") as alone:
        async with asyncio.timeout(5):
            await b.wait_named()
            await alone.wait_named()


@asynccontextmanager
async def connections(addr: str, count: int, first: bytes = b"") -> AsyncGenerator[list[socket.socket]]:
    """Streams that never finish what they say."""
    host, port = addr.split(":")
    sockets = []
    for _ in range(count):
        each = socket.create_connection((host, int(port)), timeout=5)
        each.sendall(first)
        sockets.append(each)
        await asyncio.sleep(0)
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


async def test_streams_that_say_nothing_keep_no_honest_one_out(eventually: Eventually) -> None:
    async with node("a") as a:
        async with connections(a.addr, 3 * MAX_STREAMS), node("b", a.addr) as b:
            await eventually(lambda: alive(a) == alive(b) == {"a", "b"}, timeout=5)


async def test_what_strangers_claim_to_send_costs_little_and_honest_ones_get_in(eventually: Eventually) -> None:
    keyring = Keyring((bytes(32),))
    claim = bytes((Type.ENCRYPT,)) + (20 * 1024 * 1024).to_bytes(4, "big")
    async with node("a", keyring=keyring) as a:
        held = lambda: a._transport._strangers_unfinished  # type: ignore[union-attr]  # noqa: E731
        async with connections(a.addr, MAX_STREAMS - 8, claim) as streams:
            for each in streams:
                each.settimeout(0.2)
            sent = 0
            for _ in range(4):
                for each in streams:
                    with contextlib.suppress(OSError):  # closed, or nobody reads it any more
                        sent += await asyncio.to_thread(each.send, bytes(64 * 1024))
            assert sent > 2 * MAX_STRANGERS_BYTES
            await eventually(lambda: held() <= MAX_STRANGERS_BYTES + MAX_STREAMS * STRANGERS_SMALL_BYTES)
            async with node("b", a.addr, keyring=keyring) as b:
                await eventually(lambda: alive(a) == alive(b) == {"a", "b"}, timeout=5)
        await eventually(lambda: held() == 0)


async def test_a_probe_of_the_port_is_no_line_and_a_flood_of_nonsense_is_one(eventually: Eventually) -> None:
    with capture_logs() as logs:
        async with node("a") as a:
            async with connections(a.addr, 100):
                pass
            await asyncio.sleep(0.1)
            assert [log for log in logs if log["event"].startswith("gossip")] == []
            for _ in range(50):
                async with connections(a.addr, 1, b"GET / HTTP/1.1\r\n\r\n") as (stream,):
                    await asyncio.to_thread(stream.recv, 1000)
    (line,) = [log for log in logs if log["event"].startswith("gossip")]
    assert line["event"] == "gossip_malformed"
    assert "HTTP, not gossip" in line["reason"]
    assert line["source"].startswith("127.0.0.1:")


async def test_who_does_not_read_its_answer_is_cut_off_when_its_time_is_over(eventually: Eventually) -> None:
    quick = GossipConfig(tcp_timeout=0.5)
    async with node("a", gossip=quick) as a:
        a._serf._swim.outbox.framed = lambda message: message + bytes(8 * 1024 * 1024)  # type: ignore[union-attr]
        request = encode(Type.PUSH_PULL, {"Nodes": 0, "UserStateLen": 0, "Join": False})
        accepted, make_room = [0], a._transport._make_room  # type: ignore[union-attr]

        def counting() -> None:
            accepted[0] += 1
            make_room()

        a._transport._make_room = counting  # type: ignore[union-attr,method-assign]
        async with connections(a.addr, 5, request) as streams:
            await eventually(lambda: accepted[0] == 5)
            await eventually(lambda: len(a._transport._serving) == 0, timeout=5)  # type: ignore[union-attr]
            for each in streams:
                await asyncio.to_thread(_read_to_the_end, each)


def _read_to_the_end(stream: socket.socket) -> None:
    """Return when the other side has closed or reset it: it does not wait to be read."""
    with contextlib.suppress(ConnectionResetError):
        while stream.recv(1 << 20):
            continue
