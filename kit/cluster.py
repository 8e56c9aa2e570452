"""Clusters of real agents, each on its own host, and clients that reach every one despite any partition.

::

    async with Cluster(tmp_path, "abc") as cluster:
        await cluster.start()
        cluster.partition("a", "bc")
        ...
        cluster.switch.heal()
        seconds = await cluster.converged(within=10)

Each agent is ``proglog serve`` in a network namespace (:mod:`kit.netns`). A client in this process dials a
:class:`Door`: a port on loopback whose connections continue from the switch, which no fault between hosts touches.
"""

import asyncio
import itertools
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import proglog.client
from kit.checker import Reading, Seen
from kit.netns import Host, Switch
from kit.oddities import Oddities
from kit.patience import patience
from proglog.client.fetched import FetchedBatch
from proglog.errors import ProglogError
from proglog.security.tls import TLSFiles
from proglog.testing.cluster import all_agree, all_follow_all
from proglog.testing.processes import READY_TIMEOUT, AgentProcess
from proglog.wire.model import ClusterSnapshot, PeerState

RPC_PORT, GOSSIP_PORT = 8400, 8401
_POLL = 0.05
_CHUNK_BYTES = 1 << 16


@dataclass(slots=True)
class Door:
    """A TCP port on loopback that forwards to one address behind a switch."""

    dialler: Callable[[], socket.socket]
    """Makes a socket where that address can be reached."""
    target: tuple[str, int]
    _server: asyncio.Server | None = None
    _passing: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def addr(self) -> str:
        """HOST:PORT to dial."""
        assert self._server is not None, "the door is not open"
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def open(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)

    async def close(self) -> None:
        """Stop accepting, and close open connections."""
        if self._server is not None:
            self._server.close()
        for writer in self._passing:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far = self.dialler()
        far.setblocking(False)
        ends = {writer}
        try:
            await asyncio.get_running_loop().sock_connect(far, self.target)
            back, onward = await asyncio.open_connection(sock=far)
            ends.add(onward)
            self._passing |= ends
            await asyncio.gather(_copy(reader, onward), _copy(back, writer))
        except OSError:  # no listener: the client sees its connection closed
            far.close()
        finally:
            self._passing -= ends
            for end in ends:
                end.close()


@dataclass(slots=True)
class Node:
    """An agent, its host and its door."""

    host: Host
    agent: AgentProcess
    door: Door
    tls: TLSFiles | None
    log: str
    """Name of its log; it changes with the directory."""

    @property
    def data_dir(self) -> Path:
        """Its data directory."""
        return self.agent.directory / self.agent.name

    def client(self, timeout: float = 5.0) -> "proglog.client.Client":
        """Return a client of it."""
        return proglog.client.connect(self.door.addr, tls=self.tls, timeout=timeout)

    def rename(self, node_name: str) -> None:
        """Rename the stopped agent in the cluster, and keep its data."""
        directory = self.data_dir
        self.agent.name = node_name
        directory.rename(self.data_dir)

    async def status(self) -> ClusterSnapshot:
        """Return its status."""
        async with self.client() as client:
            return await client.status()

    async def read(self) -> Reading:
        """Return everything in its log."""
        async with self.client() as client:
            log = (await client.status()).log
            seen = [
                Seen(offset, header.origin, header.base_sequence + offset - header.base_offset, value)
                async for fetched in client.consume()
                for header in (fetched.batch.header,)
                for offset, value in enumerate(_values(fetched), fetched.start_offset)
            ]
        return Reading(start=log.start_offset, end=log.end_offset, seen=seen, log=self.log)

    async def stream_from(self, peer: str) -> PeerState | None:
        """Return the state of its stream from ``peer``; ``None`` if it does not follow it."""
        return next((each.state for each in (await self.status()).peers if each.name == peer), None)

    async def start(self) -> None:
        """Start the agent and wait until it is ready."""
        self.agent.ready_timeout = patience(READY_TIMEOUT)
        await asyncio.to_thread(self.agent.start)


def _values(fetched: FetchedBatch) -> Sequence[bytes]:
    """Return the values; of a record whose key or headers are not those that were sent with it, something else."""
    if fetched.count != 1:
        return fetched.values()
    (record,) = fetched.records()
    return [record.value if Oddities.fits(record) else b"another key or header: " + record.value]


class Cluster:
    """Nodes by name. ``async with`` makes the network; leaving the block kills what runs and removes it."""

    def __init__(
        self,
        directory: Path,
        names: Iterable[str],
        *,
        flags: Mapping[str, str] | None = None,
        tls: TLSFiles | None = None,
    ) -> None:
        """Describe the cluster; the block makes it.

        Args:
            directory: Of data and telemetry.
            names: Of the nodes.
            flags: Of every agent, without the dashes.
            tls: The clients' certificates; ``None``: plain text.
        """
        self.directory = directory
        self.switch = Switch()
        self.nodes: dict[str, Node] = {}
        self._names = tuple(names)
        self._seeds: list[str] = []
        self._flags = {"insecure" if tls is None else "insecure-gossip": "", **(flags or {})}
        self._tls = tls
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Make the network and the nodes; no agent runs yet."""
        async with AsyncExitStack() as undo:
            undo.enter_context(self.switch)
            undo.push_async_callback(self._end)
            self._seeds = [f"{self.switch.host(name).addr}:{GOSSIP_PORT}" for name in self._names]
            for name in self._names:
                await self.add(name)
            self._open = undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill every agent, close every door, remove the network."""
        await self._open.aclose()

    def __getitem__(self, name: str) -> Node:
        """Return a node."""
        return self.nodes[name]

    def __iter__(self) -> "itertools.chain[Node]":
        """Iterate over the nodes."""
        return itertools.chain(self.nodes.values())

    async def add(self, name: str, *, node_name: str = "", flags: Mapping[str, str] | None = None) -> Node:
        """Return another node, not started, which joins through the initial nodes.

        Args:
            name: Here.
            node_name: In the cluster, if different.
            flags: Of this agent, overriding the cluster's.
        """
        host = self.switch.host(name)
        seeds = tuple(seed for seed in self._seeds if seed != f"{host.addr}:{GOSSIP_PORT}")
        agent = AgentProcess(
            node_name or name,
            self.directory / name,
            seeds,
            {**self._flags, **(flags or {})},
            rpc_addr=f"{host.addr}:{RPC_PORT}",
            gossip_addr=f"{host.addr}:{GOSSIP_PORT}",
            command=host.command,
        )
        agent.directory.mkdir(exist_ok=True)
        door = Door(self.switch.socket, (host.addr, RPC_PORT))
        await door.open()
        node = self.nodes[name] = Node(host, agent, door, self._tls, name)
        return node

    async def start(self, names: Iterable[str] = ()) -> None:
        """Start these agents, or all, and wait until each follows every other running one."""
        chosen = [self.nodes[name] for name in names] or list(self)
        await asyncio.gather(*(node.start() for node in chosen))
        await self.until(self.all_follow_all, within=30, what="streams between all")

    def partition(self, *sides: Iterable[str]) -> None:
        """Drop, silently, all traffic between nodes of different sides."""
        for left, right in itertools.combinations([list(side) for side in sides], 2):
            for one, other in itertools.product(left, right):
                self.switch.cut(self[one].host, self[other].host)

    def running(self) -> list[Node]:
        """Return the nodes whose agents run."""
        return [node for node in self if node.agent.process is not None]

    async def statuses(self) -> list[ClusterSnapshot]:
        """Return the status of each running agent."""
        return list(await asyncio.gather(*(node.status() for node in self.running())))

    async def read(self) -> list[Reading]:
        """Return everything in the running agents' logs."""
        return [await node.read() for node in self.running()]

    async def all_follow_all(self) -> bool:
        """Whether every running agent has a stream from every other."""
        return all_follow_all(await self.statuses())

    async def agree(self) -> bool:
        """Whether every running agent has every origin equally far."""
        return all_agree(await self.statuses())

    async def converged(self, within: float) -> float:
        """Return the seconds until the running agents converged.

        Raises:
            AssertionError: It took longer; the message has each agent's progress.
        """
        return await self.until(self.agree, within=within, what="the same records everywhere")

    async def until(self, condition: Callable[[], Awaitable[bool]], *, within: float, what: str) -> float:
        """Return the seconds until ``condition`` held; it fails while an agent does not answer.

        Raises:
            AssertionError: It took longer; the message has each node's status.
        """
        started = time.monotonic()
        problem: ProglogError | None = None
        while time.monotonic() - started < patience(within):
            try:
                if await condition():
                    return time.monotonic() - started
            except ProglogError as exc:
                problem = exc
            await asyncio.sleep(_POLL)
        raise AssertionError(f"not within {within} s: {what} ({problem})\n{await self._report()}")

    async def _report(self) -> str:
        lines = []
        for name, node in self.nodes.items():
            try:
                status = await node.status()
            except ProglogError as exc:
                lines.append(f"{name}: {exc}")
                continue
            origins = {origin.origin.hex()[:8]: origin.next_sequence for origin in status.origins}
            members = {member.name: str(member.status) for member in status.members}
            peers = {peer.name: f"{peer.state} {peer.error}".strip() for peer in status.peers}
            lines.append(f"{name}: ends at {status.log.end_offset}, {origins}, {members}, {peers}")
        return "\n".join(lines)

    async def _end(self) -> None:
        for node in self:
            node.agent.kill()
        for node in self:
            await node.door.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy ``reader`` to its end, then close ``writer``."""
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()
