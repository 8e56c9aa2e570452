"""A made-up cluster of many members, told through the real service code, in a process of its own.

``python -m benchmarks.big_cluster MEMBERS SEGMENTS`` prints the address of its first member. Each member has a server;
each writes all the time and follows all others, so that every status has MEMBERS x MEMBERS streams of origins.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvloop

from proglog.agent.writer import LogWriter
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.security.authorizer import AllowAll
from proglog.server.server import Server
from proglog.types import NodeName
from proglog.wire import model

UPDATES_PER_SECOND = 5
SEGMENT_RECORDS = 50_000
RECORD_BYTES = 250
RECORDS_PER_STEP = 1_000
"""Of each member, between two updates."""


class Cluster:
    """The state of all members: it moves by steps."""

    def __init__(self, members: int, segments: int, *, rpc_addrs: tuple[str, ...] = ()) -> None:
        self.names = tuple(f"node-{index:02}" for index in range(members))
        self.origins = tuple(b"%-16d" % index for index in range(members))
        self.rpc_addrs = rpc_addrs or tuple(f"127.0.0.1:{index + 1}" for index in range(members))
        self.first_segments = segments
        self.step = 0
        self.now_ms = round(time.time() * 1000)
        self._started_at_ms = self.now_ms
        self._sealed: list[model.Segment] = []
        self._events: list[model.ClusterEvent] = []

    def advance(self, ms: int) -> None:
        """Let time pass: every member writes, some peers fall behind and catch up, something happens now and then."""
        self.step += 1
        self.now_ms += ms
        if self.step % 10 == 1:
            name = self.names[self.step // 10 % len(self.names)]
            event = model.ClusterEvent(at_ms=self.now_ms, kind="segment-rolled", subject=name, detail="sealed")
            self._events = [*self._events, event][-256:]

    def written(self, index: int) -> int:
        """Records of one member so far."""
        return 10_000_000 + self.step * (RECORDS_PER_STEP + index)

    def lag(self, peer: int, origin: int) -> int:
        """Records of ``origin`` that the teller lacks and ``peer`` has."""
        return (self.step * 37 + peer * 11) % 500 if peer == origin and peer % 7 == 0 else 0

    def told_by(self, index: int, *, segments: bool) -> model.ClusterSnapshot:
        """Return what one member says."""
        names = self.names
        end = sum(map(self.written, range(len(names))))
        return model.ClusterSnapshot(
            node=model.NodeStatus(
                name=names[index], version="1", origin=self.origins[index], rpc_addr=self.rpc_addrs[index],
                bind_addr=f"10.0.0.{index}:8401", data_dir="/var/lib/proglog", started_at_ms=self._started_at_ms,
                tls=False, acl=False, gossip_encrypted=False,
            ),
            log=model.LogStatus(
                start_offset=0, end_offset=end, bytes=end * RECORD_BYTES, segment_count=self.first_segments,
                fsync=model.FsyncPolicy.ALWAYS, state=model.LogState.OK, disk_free_bytes=10**12 - end * RECORD_BYTES, disk_total_bytes=2 * 10**12,
                records_appended=end, bytes_appended=end * RECORD_BYTES, records_served=end // 2,
            ),
            members=tuple(self._member(index, other) for other in range(len(names))),
            origins=tuple(self._origin(index, other) for other in range(len(names))),
            peers=tuple(self._peer(peer) for peer in range(len(names)) if peer != index),
            segments=tuple(self._segments(end)) if segments else (),
            events=tuple(self._events),
            taken_at_ms=self.now_ms,
        )  # fmt: skip

    def _member(self, teller: int, index: int) -> model.Member:
        return model.Member(
            name=self.names[index], addr=f"10.0.0.{index}:8401", status=model.MemberStatus.ALIVE,
            tags={"rpc_addr": self.rpc_addrs[index]}, rtt_ms=0.0 if index == teller else 0.2 + (self.step + index) % 5,
            status_since_ms=60_000 + self.now_ms - self._started_at_ms, incarnation=1, local=index == teller,
        )  # fmt: skip

    def _origin(self, teller: int, index: int) -> model.OriginStatus:
        return model.OriginStatus(
            origin=self.origins[index], node_name=self.names[index], next_sequence=self.written(index) + 2,
            floor_sequence=1, bytes=self.written(index) * RECORD_BYTES, last_append_at_ms=self.now_ms,
            local=index == teller, source="" if index == teller else self.names[index],
        )  # fmt: skip

    def _peer(self, index: int) -> model.PeerStatus:
        return model.PeerStatus(
            name=self.names[index], rpc_addr=self.rpc_addrs[index], state=model.PeerState.STREAMING, error="",
            origins=tuple(self._peer_origin(index, origin) for origin in range(len(self.names))),
            records_copied=self.written(index), bytes_copied=self.written(index) * RECORD_BYTES, records_dropped=0,
            retry_in_ms=None,
        )  # fmt: skip

    def _peer_origin(self, peer: int, origin: int) -> model.PeerOrigin:
        lag = self.lag(peer, origin)
        return model.PeerOrigin(
            origin=self.origins[origin], node_name=self.names[origin], next_sequence=self.written(origin) + 2 - lag,
            peer_next_sequence=self.written(origin) + 2, lag_records=lag, lag_bytes=lag * RECORD_BYTES, lag_ms=lag // 5,
            peer_lag_records=0, source=peer == origin,
        )  # fmt: skip

    def _segments(self, end: int) -> Iterator[model.Segment]:
        """The sealed ones stay as they are; the active one grows."""
        if not self._sealed:
            first = end - self.first_segments * SEGMENT_RECORDS
            self._sealed = [self._segment(first + index * SEGMENT_RECORDS) for index in range(self.first_segments)]
        while self._sealed[-1].end_offset + SEGMENT_RECORDS <= end:
            self._sealed = [*self._sealed[1:], self._segment(self._sealed[-1].end_offset)]
        yield from self._sealed[1:]
        base = self._sealed[-1].end_offset
        yield replace(self._segment(base), end_offset=end, record_count=end - base, active=True)

    def _segment(self, base: int) -> model.Segment:
        return model.Segment(
            base_offset=base, end_offset=base + SEGMENT_RECORDS, bytes=SEGMENT_RECORDS * RECORD_BYTES,
            record_count=SEGMENT_RECORDS, batch_count=SEGMENT_RECORDS // 20, first_timestamp_ms=self.now_ms - 60_000,
            max_timestamp_ms=self.now_ms, active=False, index_state=model.IndexState.OK, index_bytes=40_000,
        )  # fmt: skip


class MemberView:
    """One member's :class:`proglog.server.cluster.ClusterView`."""

    def __init__(self, cluster: Cluster, index: int) -> None:
        self._cluster = cluster
        self._index = index

    @property
    def version(self) -> int:
        """The step."""
        return self._cluster.step

    def snapshot(self, *, segments: bool) -> model.ClusterSnapshot:
        """What it says."""
        return self._cluster.told_by(self._index, segments=segments)

    def history(self) -> tuple[tuple[int, int, bytes], ...]:
        """Return nothing: it keeps none."""
        return ()

    def servers_alive(self) -> int:
        """Return how many there are."""
        return len(self._cluster.rpc_addrs)

    def force_leave(self, name: str, *, prune: bool) -> None:
        """Nobody leaves."""
        del name, prune

    async def wait_changed(self, version: int) -> int:
        """Wait for the next step."""
        while self._cluster.step == version:
            await asyncio.sleep(0.01)
        return self._cluster.step


async def serve(members: int, segments: int) -> None:
    """Serve all members until the process is killed."""
    cluster = Cluster(members, segments)
    with tempfile.TemporaryDirectory(prefix="proglog-bench-") as scratch:
        async with LogWriter(Log.open(Path(scratch), LogConfig(), node_name=NodeName("bench"))) as writer:
            servers = [Server(commit_log=writer, authorizer=AllowAll()) for _ in range(members)]
            cluster.rpc_addrs = tuple([f"127.0.0.1:{server.bind('127.0.0.1:0')}" for server in servers])
            for index, server in enumerate(servers):
                await server.serve(MemberView(cluster, index))
            print(cluster.rpc_addrs[0], flush=True)
            while True:
                await asyncio.sleep(1 / UPDATES_PER_SECOND)
                cluster.advance(1000 // UPDATES_PER_SECOND)


@contextmanager
def running(members: int, segments: int) -> Iterator[str]:
    """Run such a cluster; yields the address of its first member."""
    command = [sys.executable, "-m", "benchmarks.big_cluster", str(members), str(segments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # a pipe, as asked for
            yield process.stdout.readline().strip()
        finally:
            process.kill()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
