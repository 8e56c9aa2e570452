"""A cluster of real agents on loopback, with bounded waits for tests."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from proglog.client import ClusterSnapshot, PeerState, ProglogError, connect
from proglog.testing.processes import AgentProcess

POLL_INTERVAL = 0.05


class LocalCluster:
    """Agents by name, plain text, on free ports of 127.0.0.1. ``with`` starts all, and kills those still running.

    ::

        with LocalCluster(tmp_path) as cluster:
            cluster["b"].kill()
            ...
            cluster["b"].start()            the same data, the same ports
            await cluster.converged()
    """

    def __init__(
        self, directory: Path, names: Iterable[str] = "abc", *, flags: Mapping[str, str] | None = None
    ) -> None:
        """Store the configuration; start nothing yet.

        Args:
            directory: Holds data and telemetry of all agents.
            names: One agent each; the first one is the seed of the others.
            flags: Flags of ``proglog serve`` for every agent, without the dashes.
        """
        self.agents = {name: AgentProcess(name, directory, flags=flags or {}) for name in names}
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Start all agents, each ready before the next.

        Raises:
            AssertionError: One ended or was not ready in time; none is left.
        """
        with ExitStack() as undo:
            seeds: tuple[str, ...] = ()
            for agent in self.agents.values():
                agent.seeds = seeds
                undo.enter_context(agent)
                seeds = seeds or (agent.gossip_addr,)
            self._running = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill the running agents. Their data stays in the directory."""
        self._running.close()

    def __getitem__(self, name: str) -> AgentProcess:
        """Return an agent."""
        return self.agents[name]

    def __iter__(self) -> Iterator[AgentProcess]:
        """Iterate over the agents."""
        return iter(self.agents.values())

    async def statuses(self) -> list[ClusterSnapshot]:
        """Return the status of each running agent.

        Raises:
            ProglogError: One does not answer.
        """
        return list(await asyncio.gather(*(_status(agent) for agent in self if agent.process is not None)))

    async def connected(self, within: float = 30.0) -> float:
        """Return the seconds until every running agent copied from every other.

        Raises:
            AssertionError: Not in time.
        """
        return await self._until(all_follow_all, within, "streams between all agents")

    async def converged(self, within: float = 30.0) -> float:
        """Return the seconds until every running agent held the same records.

        Raises:
            AssertionError: Not in time.
        """
        return await self._until(all_agree, within, "the same records on all agents")

    async def _until(self, condition: Callable[[Sequence[ClusterSnapshot]], bool], within: float, what: str) -> float:
        started = time.monotonic()
        problem: ProglogError | None = None
        while time.monotonic() - started < within:
            try:
                if condition(await self.statuses()):
                    return time.monotonic() - started
            except ProglogError as exc:
                problem = exc
            await asyncio.sleep(POLL_INTERVAL)
        raise AssertionError(f"not within {within} s: {what} ({problem})")


def all_follow_all(statuses: Sequence[ClusterSnapshot]) -> bool:
    """Return whether each of these agents has a replication stream from every other."""
    return all(
        sum(peer.state is PeerState.STREAMING for peer in status.peers) == len(statuses) - 1 for status in statuses
    )


def all_agree(statuses: Sequence[ClusterSnapshot]) -> bool:
    """Return whether these agents hold the same records of every origin."""
    vectors = [
        {origin.origin: origin.next_sequence for origin in status.origins if origin.next_sequence > 1}
        for status in statuses
    ]
    return all(vector == vectors[0] for vector in vectors)


async def _status(agent: AgentProcess) -> ClusterSnapshot:
    async with connect(agent.rpc_addr) as client:
        return await client.status()
