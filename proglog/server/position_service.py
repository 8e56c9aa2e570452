"""Named positions, ``proglog.v1.Positions``: how far a consumer is, kept in the cluster under a name.

A commit is a control batch in this node's log: it replicates like a record, and every node makes the same of the
commits that it has (:mod:`proglog.log.named_positions` has the rule). A consumer that lost its node therefore finds its
position at another one.
"""

from functools import partial

from proglog import clock
from proglog.api.v1 import batches_pb2, batches_pb2_grpc
from proglog.errors import (
    DataLossError,
    InvalidRequestError,
    NotFoundError,
    OffsetOutOfRangeError,
    PermissionDeniedError,
    PositionSupersededError,
    TooManyPositionsError,
)
from proglog.log.log import Log
from proglog.log.named_positions import EXPIRY_MS, MAX_NAMES, MAX_ORIGINS_IN_ALL, CommittedPosition
from proglog.record import control
from proglog.record.batch import BatchHeader, verify
from proglog.record.scan import headers
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.security.subject import subject_of
from proglog.server.acks import Acks, wanted_of
from proglog.server.commit_log import CommitLog
from proglog.server.context import Context
from proglog.server.vector import VectorPass
from proglog.wire.cursors import cursor_message, positions_of

MAX_EPOCH = (1 << 63) - 1
COUNTED_SEQUENCES = 2000
"""Positions closer to the end than this are counted batch by batch, since control batches are no records."""
COUNTED_BYTES = 4 * 1024 * 1024


class PositionService(batches_pb2_grpc.PositionsServicer):
    """Commits named positions, and lists them."""

    def __init__(self, commit_log: CommitLog, acks: Acks) -> None:
        """Keep positions in ``commit_log``; ``acks`` waits for copies on other nodes."""
        self._commit_log = commit_log
        self._acks = acks

    async def Commit(  # noqa: N802 - gRPC's name
        self, request: batches_pb2.CommitPositionRequest, context: Context
    ) -> batches_pb2.CommitPositionResponse:
        """Append a commit; answer once it is durable here, and on the requested number of nodes or the time is up.

        Raises:
            InvalidRequestError: The name, the epoch or the cursor is out of bounds.
            PermissionDeniedError: It is another subject's.
            PositionSupersededError: The name has a higher epoch, so another consumer reset it.
            TooManyPositionsError: It is new, and the log already keeps the maximum number of names.
            StorageError: The disk refused.
        """
        subject = subject_of(context.auth_context())
        held = self._commit_log.named_positions().get(request.name)
        if held is not None and held.owner not in ("", subject):
            raise PermissionDeniedError(subject, "commit", f"position {request.name!r}, whose owner is {held.owner}")
        if request.epoch > MAX_EPOCH and (held is None or request.epoch != held.epoch):
            raise InvalidRequestError(f"epoch {request.epoch}: expected at most {MAX_EPOCH}")
        if held is not None and request.epoch < held.epoch:
            raise PositionSupersededError(
                f"position {request.name!r} was started over (epoch {held.epoch}); a commit of epoch {request.epoch}"
                " is too late: read the position anew"
            )
        now_ms, positions = clock.now_ms(), positions_of(request.cursor)
        if not self._commit_log.takes_position(request.name, len(positions), now_ms):
            raise TooManyPositionsError(
                f"there is no room for position {request.name!r} with {len(positions):,} origins: at most"
                f" {MAX_NAMES:,} names and {MAX_ORIGINS_IN_ALL:,} origins in all are kept; a name that was not committed"
                f" for {EXPIRY_MS // 86_400_000} days makes room"
            )
        acks, timeout_ms = wanted_of(request)
        nodes = self._acks.nodes_at_most(acks)
        moved = held.to_commit(request.epoch, positions) if held is not None else positions
        for commit in control.position_commits(request.name, request.epoch, moved, now_ms=now_ms, owner=subject):
            appended = await self._commit_log.append(verify(commit))
        copies = await self._acks.wait(appended, nodes, timeout_ms)
        return batches_pb2.CommitPositionResponse(copies=copies, unconfirmed=copies < nodes)

    async def Reset(  # noqa: N802 - gRPC's name
        self, request: batches_pb2.ResetPositionRequest, context: Context
    ) -> batches_pb2.ResetPositionResponse:
        """Start a position over, at no place, without an owner, and with an epoch above any that was committed.

        Raises:
            NotFoundError: There is no such position here.
            StorageError: The disk refused.
        """
        del context
        held = self._commit_log.named_positions().get(request.name)
        if held is None:
            raise NotFoundError(f"there is no position {request.name!r}")
        epoch = held.epoch + 1
        await self._commit_log.append(verify(control.position_commit(request.name, epoch, {}, now_ms=clock.now_ms())))
        return batches_pb2.ResetPositionResponse(epoch=epoch)

    async def List(  # noqa: N802 - gRPC's name
        self, request: batches_pb2.ListPositionsRequest, context: Context
    ) -> batches_pb2.ListPositionsResponse:
        """Return every named position, or what is known of one name; a deleted one has an epoch only, and is not listed."""
        del context
        return await self._commit_log.query(partial(_listed, request.name if request.HasField("name") else None))


def _listed(name: str | None, log: Log) -> batches_pb2.ListPositionsResponse:
    return batches_pb2.ListPositionsResponse(
        positions=[
            batches_pb2.NamedPosition(
                name=each,
                epoch=held.epoch,
                cursor=cursor_message(held.vector),
                committed_at_ms=held.at_ms,
                records_behind=records_behind(log, held),
                owner=held.owner,
            )
            for each, held in sorted(log.named_positions().items())
            if name == each or (name is None and held.vector)
        ]
    )


def records_behind(log: Log, held: CommittedPosition) -> int:
    """Return how many records of this log a position has not had; far from the end, at most that many."""
    sequences = sum(
        max(0, state.next_sequence - max(held.vector.get(origin, FIRST_SEQUENCE), state.floor_sequence))
        for origin, state in log.origins().items()
    )
    return sequences if sequences > COUNTED_SEQUENCES else min(sequences, _counted(log, held, sequences))


def _counted(log: Log, held: CommittedPosition, at_most: int) -> int:
    """Count records, which the log's own batches are not."""
    records = 0
    try:
        walk = VectorPass(log, held.vector, skip_gone=True)
        left = COUNTED_BYTES
        while left > 0:
            read = log.read(walk.at, 256 * 1024)
            if not read.data:
                return records
            records += sum(_records_after(header, held) for _, header in headers(walk.take(read)))
            walk.recheck(log)
            left -= len(read.data)
    except (DataLossError, OffsetOutOfRangeError):
        return at_most  # damage, or retention, is in the way of counting
    return at_most


def _records_after(header: BatchHeader, held: CommittedPosition) -> int:
    if header.is_control:
        return 0
    return header.next_sequence - max(header.base_sequence, held.vector.get(header.origin, FIRST_SEQUENCE))
