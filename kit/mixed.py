"""Stock serf agents and proglog agents in one encrypted cluster, each on a host of its own behind a relay.

::

    async with Mixed(tmp_path) as mixed:
        mixed.network.weather.loss = 0.3
        ...
        assert mixed.deaths() == {}

A death is a member reported as failed since the last :meth:`Mixed.forget`: by a stock agent in its log, by one of ours in
its telemetry.
"""

import asyncio
import base64
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import proglog.client
from kit.cluster import GOSSIP_PORT, RPC_PORT, Door
from kit.patience import patience
from kit.relayed import RelayedHost, RelayedNetwork
from kit.serf import SerfAgent
from kit.soak import complaints
from proglog.client import Client
from proglog.errors import ProglogError
from proglog.testing.processes import AgentProcess

DISTANCES = {"s1": 0.002, "s2": 0.006, "s3": 0.012, "p1": 0.004, "p2": 0.009, "p3": 0.015}
"""Seconds from each host to the middle of the network: round trips from 12 to 54 ms."""
STOCK, OURS = ("s1", "s2", "s3"), ("p1", "p2", "p3")
EVERYBODY = (*STOCK, *OURS)
KEY = bytes(range(32))
_POLL = 0.25


class Mixed:
    """Three stock agents and three of ours. ``async with`` starts them and waits until all see all."""

    def __init__(
        self, directory: Path, network: RelayedNetwork, *, ipv6: bool = False, port: int = GOSSIP_PORT
    ) -> None:
        """Describe the cluster.

        Args:
            directory: Of data and telemetry; empty.
            network: With a host for each of ``EVERYBODY``.
            ipv6: Whether gossip is spoken over IPv6.
            port: Of gossip; gRPC has the one below.
        """
        self.network = network
        self.stock: dict[str, SerfAgent] = {}
        self.ours: dict[str, AgentProcess] = {}
        self._clients: dict[str, Client] = {}
        self._directory = directory
        self._ipv6, self._port = ipv6, port
        self._read_up_to: dict[str, int] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all agents.

        Raises:
            ConfigError: The program ``serf`` is missing.
            AssertionError: They did not become one cluster.
        """
        async with AsyncExitStack() as undo:
            key_file = self._directory / "gossip.keys"
            key_file.touch(mode=0o600)
            key_file.write_bytes(base64.b64encode(KEY) + b"\n")
            for name in STOCK:
                self.stock[name] = await undo.enter_async_context(self._serf(name))
            for name in OURS:
                flags = {"encrypt-file": str(key_file), "insecure": "", "log-level": "info"}
                agent = AgentProcess(
                    name,
                    self._directory,
                    (self._addr(STOCK[0] if name == OURS[0] else OURS[0]),),
                    flags,
                    rpc_addr=f"{self._host(name)}:{self._port - 1}",
                    gossip_addr=self._addr(name),
                    command=self.network.hosts[name].command,
                )
                undo.callback(agent.kill)
                self.ours[name] = agent
                host = self.network.hosts[name]
                family = socket.AF_INET6 if self._ipv6 else socket.AF_INET
                door = Door(partial(host.socket, family), (host.addr6 if self._ipv6 else host.addr, self._port - 1))
                await door.open()
                undo.push_async_callback(door.close)
                client = proglog.client.connect(door.addr, timeout=5.0)
                self._clients[name] = await undo.enter_async_context(client)
            for name in STOCK[1:]:
                await self.stock[name].join(self._addr(STOCK[0]))
            await asyncio.gather(*(asyncio.to_thread(agent.start) for agent in self.ours.values()))
            await self.until_all_see_all(within=30)
            self._open = undo.pop_all()
        self.forget()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill all agents."""
        await self._open.aclose()

    # What they see

    async def views(self, names: Iterable[str] = EVERYBODY) -> dict[str, dict[str, str]]:
        """Return the statuses of all members, as each of ``names`` sees them."""
        return dict(zip(names, await asyncio.gather(*(self._view(name) for name in names)), strict=True))

    async def _view(self, name: str) -> dict[str, str]:
        if name in self.stock:
            return {each: member.status for each, member in (await self.stock[name].members()).items()}
        return {member.name: str(member.status) for member in (await self._clients[name].status()).members}

    def client(self, name: str) -> Client:
        """Return a client of one of ours, in any weather."""
        return self._clients[name]

    async def until_all_see_all(self, *, within: float, names: Iterable[str] = EVERYBODY) -> float:
        """Return the seconds until each of ``names`` sees just all others alive."""
        expected = dict.fromkeys(EVERYBODY, "alive")
        return await self.until(lambda views: all(view == expected for view in views.values()), within, names)

    async def until(
        self,
        condition: Callable[[Mapping[str, Mapping[str, str]]], bool],
        within: float,
        names: Iterable[str] = EVERYBODY,
    ) -> float:
        """Return the seconds until ``condition`` holds for the views of ``names``.

        Raises:
            AssertionError: It did not hold in time.
        """
        began, views = time.monotonic(), dict[str, dict[str, str]]()
        names = tuple(names)
        while time.monotonic() - began < patience(within):
            try:
                views = await self.views(names)
            except ProglogError:
                views = {}
            if views and condition(views):
                return time.monotonic() - began
            await asyncio.sleep(_POLL)
        raise AssertionError(f"not within {within:g} s: {views}")

    # What they said

    def forget(self) -> None:
        """Count deaths from now on."""
        self._read_up_to = {name: len(self._log(name)) for name in EVERYBODY}

    def said(self) -> dict[str, complaints.Complaints]:
        """Return what each agent said about others since the last :meth:`forget`."""
        found = {}
        for name in EVERYBODY:
            lines = self._log(name)[self._read_up_to[name] :].splitlines()
            found[name] = complaints.of_stock(lines) if name in STOCK else complaints.of_proglog(lines)
        return found

    def deaths(self) -> dict[str, list[str]]:
        """Return the members that each agent reported as failed since the last :meth:`forget`; only agents that did."""
        return {name: found.dead for name, found in self.said().items() if found.dead}

    def summary(self) -> str:
        """Return what both sides said since the last :meth:`forget`, in a line."""
        total: dict[str, Counter[str]] = {"stock": Counter(), "proglog": Counter()}
        for name, found in self.said().items():
            total["stock" if name in STOCK else "proglog"].update(
                failed=found.failed, suspected=found.suspected, refuted=found.refuted, warnings=found.warnings
            )
        return "; ".join(f"{side}: {dict(counts)}" for side, counts in total.items())

    def _log(self, name: str) -> str:
        return self.stock[name].log if name in self.stock else self.ours[name].telemetry.read_text(errors="replace")

    # Lives

    async def kill(self, name: str) -> None:
        """Kill an agent."""
        if name in self.stock:
            await self.stock[name].kill()
        else:
            await asyncio.to_thread(self.ours[name].kill)

    async def leave(self, name: str) -> float:
        """Make an agent leave gracefully; return the seconds until its process has ended."""
        began = time.monotonic()
        if name in self.stock:
            await self.stock[name].leave()
        else:
            await asyncio.to_thread(self.ours[name].stop)
        return time.monotonic() - began

    async def restart(self, name: str) -> None:
        """Start an agent again where it was: a stock one joins through one of ours, ours remembers the others."""
        if name in self.stock:
            await self.stock[name].start()
            await self.stock[name].join(self._addr(OURS[0]))
        else:
            await asyncio.to_thread(self.ours[name].start)

    def _serf(self, name: str) -> SerfAgent:
        host: RelayedHost = self.network.hosts[name]
        return SerfAgent(name, key=KEY, tags={"role": "stock"}, addr=self._addr(name), command=host.command)

    def _host(self, name: str) -> str:
        host = self.network.hosts[name]
        return f"[{host.addr6}]" if self._ipv6 else host.addr

    def _addr(self, name: str) -> str:
        return f"{self._host(name)}:{self._port}"


assert GOSSIP_PORT - 1 == RPC_PORT
