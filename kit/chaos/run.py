"""The cluster, the clients, the faults, and the verdict.

Five agents, each on its own host (network namespace) and small disk, with segments of 1 MiB and encrypted gossip. One has
tiny segments, more than 20,000 in an hour. The last one has a small retention limit: retention runs constantly, and its
log is compared with what it should still hold. Some records are mostly key or headers, and some hold the bytes of a log.
A client writes to each of the others; consumers of named positions end by Ctrl-C or ``kill -9`` and restart. When all
faults have ended, the agents must heal by themselves and hold every acknowledged record once, in order.
"""

import asyncio
import base64
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from kit.chaos.faults import Faults
from kit.chaos.readers import Reader
from kit.chaos.schedule import Fault, Step, schedule
from kit.checker import Reading, check
from kit.cluster import Cluster, Node
from kit.load import History, Load
from kit.oddities import Oddities
from proglog.errors import DataLossError
from proglog.log.store import STORE_SUFFIX
from proglog.wire.model import ClusterSnapshot

NODES = "abcde"
VICTIMS = "cd"
KEEPS_LITTLE = "e"
RETENTION = "4MiB"
MANY_SEGMENTS = "b"
TINY = "24KiB"
DISK_BYTES = 192 * 2**20
DISK_BYTES_A_SECOND = 256 * 2**10
"""Bytes per second of a long run, on top of that."""
BRISK, CALM = 0.05, 0.25
"""Seconds between two groups of one client: short runs write fast, long ones must not fill the machine's memory."""
_SHORT = 180.0
PADDING = b"." * 400
_STEPS_A_SECOND = 1
_WHOLE_WITHIN = 90.0
_READ_WITHIN = 60.0
_SHOWN = 20


@dataclass(slots=True)
class Report:
    """The outcome of a run, and its problems."""

    seed: int
    seconds: float = 0.0
    """Seconds from the first fault to the last."""
    faults: Counter[Fault] = field(default_factory=Counter)
    sent: int = 0
    acknowledged: int = 0
    read: dict[str, int] = field(default_factory=dict)
    """Records that each reader read."""
    kills: str = ""
    """How many kills aimed at a system call hit."""
    segments: int = 0
    """Of the log that has the most."""
    whole_after: float = 0.0
    """Seconds from the end of the faults until every agent was whole."""
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the report as text."""
        unknown = self.sent - self.acknowledged
        lines = [
            f"seed {self.seed}: {self.faults.total()} faults in {self.seconds:.0f} s",
            *(f"  {count:4d}  {fault}" for fault, count in sorted(self.faults.items())),
            f"{self.sent:,} records sent, {self.acknowledged:,} acknowledged, {unknown:,} refused or of unknown outcome",
            *(f"{name} read {count:,}" for name, count in self.read.items()),
            f"{self.kills} kills aimed at a system call hit",
            f"{self.segments:,} segments in one log",
            f"whole {self.whole_after:.1f} s after the last fault",
            *(f"WRONG: {problem}" for problem in self.problems[:_SHOWN]),
            f"{len(self.problems)} problems" if self.problems else "nothing lost, nothing twice, everything in order",
        ]
        return "\n".join(lines)


class Chaos:
    """One run."""

    def __init__(
        self, directory: Path, *, seed: int, seconds: float, announce: Callable[[Step], object] = lambda _step: None
    ) -> None:
        """Work in ``directory``, for about ``seconds`` of faults; ``announce`` gets each before it begins."""
        self._announce = announce
        self._directory = directory
        self._seconds = seconds
        self._seed = seed
        self._history = History()
        self.report = Report(seed)

    async def run(self) -> Report:
        """Run, and return the report.

        Raises:
            AssertionError: An agent did not start again, or did not become whole.
        """
        key_file = self._directory / "gossip.keys"
        key_file.write_bytes(base64.b64encode(Random(self._seed).randbytes(32)) + b"\n")
        key_file.chmod(0o600)
        flags = {"encrypt-file": str(key_file), "segment-bytes": "1MiB"}
        async with AsyncExitStack() as stack:
            stack.enter_context(
                _own_disks(self._directory, NODES, DISK_BYTES + int(self._seconds * DISK_BYTES_A_SECOND))
            )
            cluster = await stack.enter_async_context(Cluster(self._directory, NODES, flags=flags))
            last = cluster[KEEPS_LITTLE].agent
            last.flags = {**last.flags, "retention-bytes": RETENTION}
            many = cluster[MANY_SEGMENTS].agent
            many.flags = {**many.flags, "segment-bytes": TINY}
            backups = self._directory / "backups"
            backups.mkdir()
            faults = Faults(cluster, backups=backups)
            await cluster.start()
            readers = [
                Reader(
                    name, [node.door.addr for node in cluster], self._directory, kills, Random(f"{self._seed} {name}")
                )
                for name, kills in (("ended", False), ("killed", True))
            ]
            for reader in readers:
                await stack.enter_async_context(reader)
            await self._suffer(cluster, faults)
            await self._judge(cluster, readers)
            self.report.problems += faults.notes
            self.report.kills = f"{faults.hit} of {faults.aimed}"
        return self.report

    async def _suffer(self, cluster: Cluster, faults: Faults) -> None:
        """Run the schedule under load. Faults of different nodes overlap; a destroying one runs by itself."""
        steps = schedule(self._seed, max(1, int(self._seconds * _STEPS_A_SECOND)), NODES, VICTIMS)
        started = time.monotonic()
        loads = [
            self._load(node) for node in cluster if node.log != KEEPS_LITTLE
        ]  # records on its disk only would soon be removed
        async with AsyncExitStack() as stack:
            for load in loads:
                await stack.enter_async_context(load)
            struck: dict[str, asyncio.Task[None]] = {}
            for step in steps:
                if time.monotonic() - started > self._seconds:
                    break
                await asyncio.sleep(step.pause)
                if step.destroys or step.fault in (Fault.STORM, Fault.FULL_AND_KILLED):
                    await asyncio.gather(*struck.values())
                    struck.clear()
                elif step.node in struck:
                    await struck.pop(step.node)
                self._announce(step)
                self.report.faults[step.fault] += 1
                if step.destroys:
                    await self._everywhere(cluster)
                    await self._destroy(cluster, faults, step)
                else:
                    struck[step.node] = asyncio.create_task(faults.strike(step))
            await asyncio.gather(*struck.values())
            self.report.seconds = time.monotonic() - started

    def _load(self, node: Node) -> Load:
        interval = BRISK if self._seconds <= _SHORT else CALM
        acks = 2 if node.agent.name in VICTIMS else 1
        odd = Oddities(Random(f"{self._seed} {node.log}"))
        return Load([node], self._history, acks=acks, padding=PADDING, interval=interval, oddities=odd)

    async def _destroy(self, cluster: Cluster, faults: Faults, step: Step) -> None:
        await faults.strike(step)
        await cluster.until(lambda: _well(cluster), within=_WHOLE_WITHIN, what=f"whole again after {step}")

    async def _everywhere(self, cluster: Cluster) -> None:
        """Wait until every node has all records that any node has now."""
        goal = _farthest(await self._answers(cluster))

        async def reached() -> bool:
            return all(
                all(vector.get(origin, 0) >= sequence for origin, sequence in goal.items())
                for vector in map(_vector, await cluster.statuses())
            )

        await cluster.until(reached, within=_WHOLE_WITHIN, what="everything acknowledged on every node")

    async def _answers(self, cluster: Cluster) -> Sequence[ClusterSnapshot]:
        async def answered() -> bool:
            return len(await cluster.statuses()) == len(NODES)

        await cluster.until(answered, within=_WHOLE_WITHIN, what="five agents that answer")
        return await cluster.statuses()

    async def _read(self, cluster: Cluster, node: Node) -> Reading:
        """Read a whole log; this finds any undetected damage, which must then heal."""
        try:
            return await node.read()
        except DataLossError:
            await cluster.until(
                lambda: _well(cluster), within=_WHOLE_WITHIN, what=f"{node.log} healed after it was read"
            )
            return await node.read()

    async def _judge(self, cluster: Cluster, readers: Sequence[Reader]) -> None:
        report, history = self.report, self._history
        cluster.switch.heal()
        report.whole_after = await cluster.until(lambda: _whole(cluster), within=_WHOLE_WITHIN, what="five equal logs")
        report.segments = max(len(list(node.data_dir.glob(f"*{STORE_SUFFIX}"))) for node in cluster)
        report.sent, report.acknowledged = len(history.attempts), len(history.acknowledged)
        for reader in readers:
            await reader.has_read(history.acknowledged, within=_READ_WITHIN)
            report.read[reader.name] = sum(len(run) for run in reader.lines())
            report.problems += reader.problems(history.acknowledged)
        readings = {node.agent.name: await self._read(cluster, node) for node in cluster}
        little = readings.pop(KEEPS_LITTLE)
        report.problems += history.problems(list(readings.values()))
        report.problems += _of_one_that_keeps_little(history, little, list(readings.values()))


def _of_one_that_keeps_little(history: History, little: Reading, whole: Sequence[Reading]) -> list[str]:
    """Return the problems of the log under retention: it must hold nothing that the others lack."""
    everything = {each[1:] for reading in whole for each in reading.seen}
    found = [f"{flaw.kind}: {flaw.detail}" for flaw in check(history.attempts, [little])]
    if alone := [each for each in little.seen if each[1:] not in everything]:
        found.append(f"only {little.log} holds {len(alone)} records, such as {alone[0]}")
    if not little.start:
        found.append(f"retention never ran at {little.log}: {little.end} records")
    return found


def _vector(status: ClusterSnapshot) -> dict[bytes, int]:
    return {origin.origin: origin.next_sequence for origin in status.origins}


def _farthest(statuses: Sequence[ClusterSnapshot]) -> dict[bytes, int]:
    farthest: dict[bytes, int] = {}
    for vector in map(_vector, statuses):
        for origin, sequence in vector.items():
            farthest[origin] = max(sequence, farthest.get(origin, 0))
    return farthest


async def _well(cluster: Cluster) -> bool:
    """Whether every agent answers, serves and has nothing damaged."""
    statuses = await cluster.statuses()
    return len(statuses) == len(NODES) and all(
        status.log.state == "ok" and not status.log.damaged for status in statuses
    )


async def _whole(cluster: Cluster) -> bool:
    return await _well(cluster) and await cluster.agree()


@contextmanager
def _own_disks(directory: Path, names: str, size: int) -> Iterator[None]:
    """Give each node its own file system, in memory, so that a full one affects no other node."""
    with ExitStack() as stack:
        for name in names:
            place = directory / name
            place.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "proglog-chaos", str(place)], check=True)
            stack.callback(subprocess.run, ["umount", "--lazy", str(place)], check=True)
        yield
