"""Operator calls for records that this log lost, ``proglog.v1.Losses``."""

import re

from proglog.api.v1 import losses_pb2, losses_pb2_grpc
from proglog.errors import InvalidRequestError, NotFoundError
from proglog.security.subject import subject_of
from proglog.server.cluster import ClusterView
from proglog.server.commit_log import CommitLog
from proglog.server.context import Context
from proglog.types import MAX_ORDINAL, Offset, half_open
from proglog.wire.contract import MAX_REASON_CHARACTERS

MIN_ORIGIN_DIGITS = 4
ORIGIN_DIGITS = re.compile(rf"[0-9a-fA-F]{{{MIN_ORIGIN_DIGITS},32}}")
NOBODY = "a client without a certificate"


class LossService(losses_pb2_grpc.LossesServicer):
    """Records an operator's decisions about losses in the log."""

    def __init__(self, commit_log: CommitLog, cluster: ClusterView | None) -> None:
        """Serve ``commit_log``; without ``cluster`` there are no forks and no repairs."""
        self._commit_log = commit_log
        self._cluster = cluster

    async def Accept(  # noqa: N802 - gRPC's name
        self, request: losses_pb2.AcceptLossRequest, context: Context
    ) -> losses_pb2.AcceptLossResponse:
        """Accept the damage between two offsets as lost, the forks of an origin, or repairs; durable once answered.

        Raises:
            InvalidRequestError: The reason is missing, or the range or the origin is invalid.
            NotFoundError: Nothing is damaged there, or there is no such fork.
            StorageError: The disk refused.
        """
        reason = request.reason.strip()
        if not 0 < len(reason) <= MAX_REASON_CHARACTERS:
            raise InvalidRequestError(f"the reason has {len(reason)} characters: expected 1 to {MAX_REASON_CHARACTERS}")
        by = subject_of(context.auth_context()) or NOBODY
        if request.origin:
            return losses_pb2.AcceptLossResponse(ranges=await self._accept_forks(request, by, reason))
        if request.repaired:
            if self._cluster is None:
                raise NotFoundError("this server has no peers, so no repairs")
            return losses_pb2.AcceptLossResponse(ranges=await self._cluster.accept_repairs(by=by, reason=reason))
        if not request.start_offset <= request.end_offset <= MAX_ORDINAL:
            raise InvalidRequestError(f"offsets {half_open(request.start_offset, request.end_offset)} are no range")
        accepted = await self._commit_log.accept_losses(
            Offset(request.start_offset), Offset(request.end_offset), by=by, reason=reason
        )
        return losses_pb2.AcceptLossResponse(ranges=len(accepted))

    async def _accept_forks(self, request: losses_pb2.AcceptLossRequest, by: str, reason: str) -> int:
        if request.start_offset or request.end_offset:
            raise InvalidRequestError("both a range of offsets and an origin: expected one of them")
        if not ORIGIN_DIGITS.fullmatch(request.origin):
            raise InvalidRequestError(
                f"{request.origin[:64]!r} begins no origin: expected {MIN_ORIGIN_DIGITS} to 32 hexadecimal digits"
            )
        if self._cluster is None:
            raise NotFoundError("this server has no peers, so no forks")
        return await self._cluster.accept_forks(request.origin, by=by, reason=reason)
