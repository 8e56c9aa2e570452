"""What one datagram at a proglog node does to the stock agents beside it: nothing.

Each of these ends a stock agent that gets it. They are sent to a proglog node, which is to keep them to itself.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from structlog.testing import capture_logs

from kit.serf import SerfAgent
from proglog.agent.membership import Membership
from proglog.agent.membership_config import MembershipConfig
from proglog.gossip.wire import SerfType, Type, encode

Eventually = Callable[..., Awaitable[None]]
USER = bytes((Type.USER,))
KEY = bytes(range(32))


class Nobody:
    """A handler of a node without servers."""

    def join(self, name: str, addr: str) -> None:
        """Do nothing."""

    def leave(self, name: str) -> None:
        """Do nothing."""


def poison(number: int, asker: tuple[str, int]) -> list[bytes]:
    """Return datagrams that a stock agent does not survive, or that stop what it does for the cluster."""
    alive = {"Node": f"x{number}", "Addr": bytes((127, 0, 0, 1)), "Port": 9, "Meta": b"", "Incarnation": 1}
    query = {
        "LTime": 5 + number,
        "ID": number,
        "Addr": socket.inet_aton(asker[0]),
        "Port": asker[1],
        "SourceNode": "p1",
        "Flags": 0,
        "RelayFactor": 0,
        "Timeout": 10**9,
        "Name": "x",
        "Payload": b"",
        "Filters": None,
    }
    return [
        encode(Type.ALIVE, alive | {"Vsn": b"\x01\x05\x02"}),
        encode(Type.ALIVE, alive | {"Vsn": bytes((1, 5, 2, 2, 5, 1))}),
        USER + encode(SerfType.QUERY, query | {"Filters": [b""]}),
        USER + encode(SerfType.QUERY, query | {"ID": 100 + number, "Name": "_serf_install-key"}),
        USER + encode(SerfType.LEAVE, {"LTime": 2**63 - 1, "Node": "s1", "Prune": True}),
        encode(Type.SUSPECT, {"Incarnation": 2**32 - 1, "Node": "s1", "From": "s2"}),
    ]


async def test_stock_agents_live_on_beside_a_proglog_node_that_is_sent_what_ends_them(eventually: Eventually) -> None:
    async with AsyncExitStack() as stack:
        s1, s2 = [await stack.enter_async_context(SerfAgent(name)) for name in ("s1", "s2")]
        await s2.join(s1.addr)
        config = MembershipConfig(
            node_name="p1", bind_addr="127.0.0.1:0", tags={"role": "p"}, start_join_addrs=(s1.addr,)
        )
        p1 = Membership(config, Nobody())
        await p1.start()
        stack.push_async_callback(p1.close)

        async def all_alive() -> bool:
            ours = {member.name: member.status.value for member in p1.members()}
            theirs = [{n: m.status for n, m in (await agent.members()).items()} for agent in (s1, s2)]
            return all(view == dict.fromkeys(("p1", "s1", "s2"), "alive") for view in (ours, *theirs))

        await eventually(all_alive, timeout=90, what="three alive everywhere")
        host, port = p1.addr.split(":")
        with socket.socket(type=socket.SOCK_DGRAM) as stranger:
            for number in range(5):
                for datagram in poison(number, (host, int(port))):
                    stranger.sendto(datagram, (host, int(port)))
            await asyncio.sleep(2.0)  # enough for gossip to have passed on what it passes on
        assert await all_alive()
        # A filter that takes a backtracking engine years is answered at once, by those for whom it is.
        nobody = r"role=^(.|\S|[^x]|[^y]|[^z]|[^w]|[^v]|[^u])*x$"
        assert "Total Acks: 0" in await s1.command("query", "-timeout=1s", f"-tag={nobody}", "hello")
        assert "Total Acks: 1" in await s1.command("query", "-timeout=1s", "-tag=role=.*p.*", "hello")
        assert await all_alive()


async def test_a_node_without_the_key_is_refused_and_told_why(eventually: Eventually) -> None:
    async with SerfAgent("s1", key=KEY) as agent:
        with capture_logs() as logs:
            config = MembershipConfig(node_name="p1", bind_addr="127.0.0.1:0", start_join_addrs=(agent.addr,))
            membership = Membership(config, Nobody())
            await membership.start()
            try:
                await eventually(lambda: any(log["event"] == "join_failed" for log in logs), what="a refused join")
            finally:
                await membership.close()
        assert "encrypt" in next(log["error"] for log in logs if log["event"] == "join_failed")
        assert {name: member.status for name, member in (await agent.members()).items()} == {"s1": "alive"}
