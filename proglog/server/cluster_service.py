"""The operator's view, ``proglog.v1.Cluster``: a snapshot on demand, or pushed on every change."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict

from proglog.api.v1 import cluster_pb2, cluster_pb2_grpc
from proglog.errors import OverloadedError, UnavailableError
from proglog.server.cluster import ClusterView
from proglog.server.commit_log import CommitLog
from proglog.server.context import Context
from proglog.server.live_verify import verify_live
from proglog.types import Offset
from proglog.wire.convert import to_message

DEFAULT_INTERVAL_MS = 200
MIN_INTERVAL_MS, MAX_INTERVAL_MS = 50, 60_000
REFRESH_INTERVAL = 1.0
"""Longest interval between two pushed snapshots, in seconds: ages, lags and free space change without an event."""


class ClusterService(cluster_pb2_grpc.ClusterServicer):
    """Serves a :class:`ClusterView`, and verifies the log."""

    def __init__(self, commit_log: CommitLog, cluster: ClusterView | None) -> None:
        """Serve ``cluster``; without one, only verify ``commit_log``."""
        self._commit_log = commit_log
        self._cluster = cluster
        self._verifying = False

    async def GetStatus(self, request: cluster_pb2.GetStatusRequest, context: Context) -> cluster_pb2.Status:  # noqa: N802 - gRPC's name
        """Return a snapshot."""
        del context
        return to_message(self._view().snapshot(segments=request.segments))

    async def Watch(  # noqa: N802 - gRPC's name
        self, request: cluster_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[cluster_pb2.Status]:
        """Yield a snapshot at once, then on every change, at most once per requested interval."""
        del context
        view = self._view()
        interval_ms = request.min_interval_ms if request.HasField("min_interval_ms") else DEFAULT_INTERVAL_MS
        interval = min(max(interval_ms, MIN_INTERVAL_MS), MAX_INTERVAL_MS) / 1000
        while True:
            version = view.version
            yield to_message(view.snapshot(segments=request.segments))
            await asyncio.sleep(interval)
            try:
                async with asyncio.timeout(max(0.0, REFRESH_INTERVAL - interval)):
                    await view.wait_changed(version)
            except TimeoutError:
                continue

    async def History(  # noqa: N802 - gRPC's name
        self, request: cluster_pb2.HistoryRequest, context: Context
    ) -> AsyncIterator[cluster_pb2.HistoryResponse]:
        """Yield the last hour."""
        del request, context
        for first_ms, last_ms, packed in self._view().history():
            yield cluster_pb2.HistoryResponse(first_ms=first_ms, last_ms=last_ms, packed=packed)
            await asyncio.sleep(0)

    async def Verify(  # noqa: N802 - gRPC's name
        self, request: cluster_pb2.VerifyRequest, context: Context
    ) -> AsyncIterator[cluster_pb2.VerifyResponse]:
        """Check the log, one caller at a time."""
        del context
        if self._verifying:
            raise OverloadedError("the log is being verified already: one at a time, since it reads all of it")
        self._verifying = True
        told = 0
        try:
            base_offset = Offset(request.base_offset) if request.HasField("base_offset") else None
            async for done in verify_live(self._commit_log, base_offset):
                yield cluster_pb2.VerifyResponse(
                    bytes_done=done.bytes_done,
                    bytes_total=done.bytes_total,
                    batches=done.batches,
                    records=done.records,
                    problems=[cluster_pb2.DamagedRange(**asdict(each)) for each in done.problems[told:]],
                    finished=done.finished,
                )
                told = len(done.problems)
        finally:
            self._verifying = False

    async def ForceLeave(  # noqa: N802 - gRPC's name
        self, request: cluster_pb2.ForceLeaveRequest, context: Context
    ) -> cluster_pb2.ForceLeaveResponse:
        """Mark a failed member as having left for good."""
        del context
        self._view().force_leave(request.name, prune=request.prune)
        return cluster_pb2.ForceLeaveResponse()

    async def Drain(  # noqa: N802 - gRPC's name
        self, request: cluster_pb2.DrainRequest, context: Context
    ) -> cluster_pb2.DrainResponse:
        """Take no more records, or take them again."""
        del context
        self._view().drain(resume=request.resume)
        return cluster_pb2.DrainResponse()

    def _view(self) -> ClusterView:
        if self._cluster is None:
            raise UnavailableError("this server is no member of a cluster")
        return self._cluster
