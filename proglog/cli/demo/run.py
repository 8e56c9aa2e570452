"""The main job, end to end: produce to the first, read back from the last, compare."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proglog.cli import diagnostics
from proglog.cli.demo.cluster import DemoCluster, DemoNode
from proglog.client import Client, connect
from proglog.errors import DeadlineError, ProglogError
from proglog.security.tls import TLSFiles
from proglog.wire.model import ClusterSnapshot, MemberStatus, PeerState

READ_BYTES = 1024 * 1024
SEE_EACH_OTHER_TIMEOUT = 30.0
CATCH_UP_TIMEOUT = 120.0
POLL_INTERVAL = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of the demonstration."""

    produced: int
    read_back: int
    sent_digest: str
    read_digest: str
    produce_seconds: float
    read_seconds: float
    sent_bytes: int
    first: ClusterSnapshot
    last: ClusterSnapshot

    @property
    def agrees(self) -> bool:
        """Whether what came back is what was sent, byte for byte."""
        return self.produced == self.read_back and self.sent_digest == self.read_digest


async def run(cluster: DemoCluster, source: Path) -> Outcome:
    """Send ``source`` through the cluster, a record a line."""
    first, last = cluster.nodes[0], cluster.nodes[-1]
    size = source.stat().st_size  # noqa: ASYNC240 - before anything runs
    async with _client(first, cluster.tls) as writer, _client(last, cluster.tls) as reader:
        diagnostics.note(f"waiting until {len(cluster.nodes)} agents see each other")
        await _see_each_other(cluster)
        produced, sent, produce_seconds = await _produce(writer, source, size)
        diagnostics.note(f"waiting until {last.name} has every copy")
        await _catch_up(reader, produced)
        read_back, read, read_seconds = await _read_back(reader, produced)
        return Outcome(
            produced=produced,
            read_back=read_back,
            sent_digest=sent,
            read_digest=read,
            produce_seconds=produce_seconds,
            read_seconds=read_seconds,
            sent_bytes=size,
            first=await writer.status(segments=True),
            last=await reader.status(segments=True),
        )


def _client(node: DemoNode, tls: TLSFiles) -> Client:
    return connect(node.rpc_addr, tls=tls)


async def _see_each_other(cluster: DemoCluster) -> None:
    size = len(cluster.nodes)
    for node in cluster.nodes:
        async with _client(node, cluster.tls) as client:
            deadline = time.monotonic() + SEE_EACH_OTHER_TIMEOUT
            while not _is_complete(await client.status(), size):
                _check(node, deadline, "did not see the others and open their streams")
                await asyncio.sleep(POLL_INTERVAL)


def _is_complete(snapshot: ClusterSnapshot, size: int) -> bool:
    alive = sum(member.status is MemberStatus.ALIVE for member in snapshot.members)
    streaming = sum(peer.state is PeerState.STREAMING for peer in snapshot.peers)
    return alive == size and streaming == size - 1


async def _produce(client: Client, source: Path, total: int) -> tuple[int, str, float]:
    digest = hashlib.sha256()
    started = time.monotonic()
    with diagnostics.progress("producing", total, unit="bytes") as meter:
        async with client.producer() as producer:
            for values, size in _lines(source):
                digest.update(b"\n".join(values) + b"\n")
                await producer.send_values(values)
                meter.advance(size)
    return producer.acknowledged, digest.hexdigest(), time.monotonic() - started


def _lines(source: Path) -> Iterator[tuple[list[bytes], int]]:
    rest = b""
    with source.open("rb") as file:
        while read := file.read(READ_BYTES):
            values = (rest + read).split(b"\n")
            rest = values.pop()
            if values:
                yield values, len(read)
    if rest:
        yield [rest], len(rest)


async def _catch_up(client: Client, records: int) -> None:
    deadline = time.monotonic() + CATCH_UP_TIMEOUT
    with diagnostics.progress("replicating", records) as meter:
        seen = 0
        while seen < records:
            end = (await client.status()).log.end_offset
            meter.advance(end - seen)
            seen = end
            if seen < records:
                if time.monotonic() > deadline:
                    raise DeadlineError(f"only {seen:,} of {records:,} records were copied in {CATCH_UP_TIMEOUT:.0f} s")
                await asyncio.sleep(POLL_INTERVAL)


async def _read_back(client: Client, records: int) -> tuple[int, str, float]:
    digest = hashlib.sha256()
    count = 0
    started = time.monotonic()
    with diagnostics.progress("reading back", records) as meter:
        async for fetched in client.consume():
            values = fetched.values()
            digest.update(b"\n".join(values) + b"\n")
            count += len(values)
            meter.advance(len(values))
    return count, digest.hexdigest(), time.monotonic() - started


def _check(node: DemoNode, deadline: float, what: str) -> None:
    if node.process.poll() is not None:
        raise ProglogError(f"{node.name} ended with code {node.process.returncode}; see {node.telemetry}")
    if time.monotonic() > deadline:
        raise DeadlineError(f"{node.name} {what} in time; see {node.telemetry}")
