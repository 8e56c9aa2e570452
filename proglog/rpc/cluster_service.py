"""What an operator watches, ``proglog.v1.Cluster``: a snapshot on demand, or pushed whenever something changed."""

import asyncio
from collections.abc import AsyncIterator

from proglog.api.v1 import cluster_pb2, cluster_pb2_grpc
from proglog.errors import UnavailableError
from proglog.rpc.cluster import ClusterView
from proglog.rpc.context import Context
from proglog.rpc.convert import to_message

DEFAULT_INTERVAL_MS = 200
MIN_INTERVAL_MS, MAX_INTERVAL_MS = 50, 60_000
REFRESH_INTERVAL = 1.0
"""Seconds after which a snapshot is sent though nothing happened: ages, lags and free space move by themselves."""


class ClusterService(cluster_pb2_grpc.ClusterServicer):
    """Serves a :class:`ClusterView`."""

    def __init__(self) -> None:
        self.cluster: ClusterView | None = None
        """Known once membership runs."""

    async def GetStatus(self, request: cluster_pb2.GetStatusRequest, context: Context) -> cluster_pb2.Status:  # noqa: N802 - gRPC's name
        """Return a snapshot."""
        del context
        return to_message(self._view().snapshot(segments=request.segments))

    async def Watch(  # noqa: N802 - gRPC's name
        self, request: cluster_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[cluster_pb2.Status]:
        """Yield a snapshot at once, then whenever something changed, at most once in the interval asked for."""
        del context
        view = self._view()
        interval_ms = request.min_interval_ms or DEFAULT_INTERVAL_MS
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

    async def ForceLeave(  # noqa: N802 - gRPC's name
        self, request: cluster_pb2.ForceLeaveRequest, context: Context
    ) -> cluster_pb2.ForceLeaveResponse:
        """Say that a member that failed has left for good."""
        del context
        self._view().force_leave(request.name, prune=request.prune)
        return cluster_pb2.ForceLeaveResponse()

    def _view(self) -> ClusterView:
        if self.cluster is None:
            raise UnavailableError("the agent is starting: its membership is not up yet")
        return self.cluster
