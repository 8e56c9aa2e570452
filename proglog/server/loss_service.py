"""Operator calls for records that this log lost, ``proglog.v1.Losses``."""

from proglog.api.v1 import losses_pb2, losses_pb2_grpc
from proglog.errors import InvalidRequestError
from proglog.security.subject import subject_of
from proglog.server.commit_log import CommitLog
from proglog.server.context import Context
from proglog.types import MAX_ORDINAL, Offset, half_open
from proglog.wire.contract import MAX_REASON_CHARACTERS

NOBODY = "a client without a certificate"


class LossService(losses_pb2_grpc.LossesServicer):
    """Records an operator's decisions about losses in the log."""

    def __init__(self, commit_log: CommitLog) -> None:
        """Serve ``commit_log``."""
        self._commit_log = commit_log

    async def Accept(  # noqa: N802 - gRPC's name
        self, request: losses_pb2.AcceptLossRequest, context: Context
    ) -> losses_pb2.AcceptLossResponse:
        """Accept the damage between two offsets as lost; durable once answered.

        Raises:
            InvalidRequestError: The reason is missing, or the range is invalid.
            NotFoundError: Nothing is damaged there.
            StorageError: The disk refused.
        """
        reason = request.reason.strip()
        if not 0 < len(reason) <= MAX_REASON_CHARACTERS:
            raise InvalidRequestError(f"the reason has {len(reason)} characters: expected 1 to {MAX_REASON_CHARACTERS}")
        if not request.start_offset <= request.end_offset <= MAX_ORDINAL:
            raise InvalidRequestError(f"offsets {half_open(request.start_offset, request.end_offset)} are no range")
        accepted = await self._commit_log.accept_losses(
            Offset(request.start_offset),
            Offset(request.end_offset),
            by=subject_of(context.auth_context()) or NOBODY,
            reason=reason,
        )
        return losses_pb2.AcceptLossResponse(ranges=len(accepted))
