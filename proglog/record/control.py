"""Control batches: an origin's statements about itself. They take sequences but no offsets.

The first batch of every origin names the node and the previous origin; a gap batch takes the place of sequences that no
reachable node could provide; a position commit records the progress of a named consumer.
"""

from collections.abc import Mapping

from google.protobuf.message import DecodeError

from proglog.errors import InvalidRequestError, MalformedBatchError
from proglog.record import batch
from proglog.record.columns_pb2 import Control, Gap, OriginPosition, OriginStart, PositionCommit
from proglog.types import NO_ORIGIN, ORIGIN_BYTES, NodeName, OriginId, SequenceNumber

MAX_POSITION_NAME = 128
"""Most characters of a named position's name."""
MAX_POSITION_ORIGINS = 4096
"""Most origins of one commit; a position with more takes several, which join."""
MAX_VECTOR_ORIGINS = 1 << 17
"""Most origins of a cursor or a named position: what fits into one message."""
MAX_OWNER = 64
"""Most characters of the subject that owns one."""

MAX_NODE_NAME_BYTES = 255
"""Most bytes of a node's name that are kept, in memory and in indexes."""

ControlData = OriginStart | Gap | PositionCommit | None
"""Contents of a control batch; ``None``: a kind that a newer version wrote."""


def origin_start(
    node_name: NodeName,
    *,
    now_ms: int,
    reason: str,
    previous_origin: OriginId = NO_ORIGIN,
    previous_next_sequence: SequenceNumber = SequenceNumber(0),  # noqa: B008 - NewType is the identity
) -> bytes:
    """Return the unstamped first batch of an origin.

    Args:
        node_name: Whose data directory it is.
        now_ms: Milliseconds since 1970.
        reason: Why there is a new origin, in words: "new data directory".
        previous_origin: The directory's origin before, if it had one.
        previous_next_sequence: Where that one ended.
    """
    previous = b"" if previous_origin == NO_ORIGIN else previous_origin
    start = OriginStart(
        node_name=node_name,
        previous_origin=previous,
        previous_next_sequence=previous_next_sequence,
        reason=reason,
    )
    payload = Control(origin_start=start).SerializeToString()
    return batch.encode(
        payload,
        count=0,
        sequence_span=1,
        flags=batch.FLAG_CONTROL,
        first_timestamp_ms=now_ms,
        max_timestamp_ms=now_ms,
    )


def gap(sequence_span: int, *, now_ms: int, reason: str) -> bytes:
    """Return the unstamped gap batch for ``sequence_span`` sequences that no node could provide."""
    payload = Control(gap=Gap(reason=reason)).SerializeToString()
    return batch.encode(
        payload,
        count=0,
        sequence_span=sequence_span,
        flags=batch.FLAG_CONTROL | batch.FLAG_GAP,
        first_timestamp_ms=now_ms,
        max_timestamp_ms=now_ms,
    )


def position_commit(
    name: str, epoch: int, positions: Mapping[OriginId, SequenceNumber], *, now_ms: int, owner: str = ""
) -> bytes:
    """Return the unstamped batch that commits a named position.

    Args:
        name: 1 to 128 printable characters.
        epoch: Generation of the name: a higher one replaces the position, an equal one only moves it forwards.
        positions: The next sequence of each origin; at most 4,096.
        now_ms: Milliseconds since 1970.
        owner: The subject that may commit it, up to 64 printable characters; empty: any.

    Raises:
        InvalidRequestError: An argument is out of bounds.
    """
    commit = PositionCommit(
        name=name,
        epoch=epoch,
        positions=[OriginPosition(origin=origin, next_sequence=following) for origin, following in positions.items()],
        at_ms=now_ms,
        owner=owner,
    )
    problem = commit_problem(commit)
    if problem:
        raise InvalidRequestError(problem)
    payload = Control(position_commit=commit).SerializeToString(deterministic=True)
    return batch.encode(
        payload,
        count=0,
        sequence_span=1,
        flags=batch.FLAG_CONTROL,
        first_timestamp_ms=now_ms,
        max_timestamp_ms=now_ms,
    )


def position_commits(
    name: str, epoch: int, positions: Mapping[OriginId, SequenceNumber], *, now_ms: int, owner: str = ""
) -> list[bytes]:
    """Return the unstamped batches that together commit a named position; arguments and errors as above."""
    origins = list(positions)
    parts = [origins[at : at + MAX_POSITION_ORIGINS] for at in range(0, len(origins), MAX_POSITION_ORIGINS)] or [[]]
    return [
        position_commit(name, epoch, {origin: positions[origin] for origin in part}, now_ms=now_ms, owner=owner)
        for part in parts
    ]


def commit_problem(commit: PositionCommit) -> str:
    """Return the problem with a position commit, in words; empty if it is valid."""
    if not 1 <= len(commit.name) <= MAX_POSITION_NAME or not commit.name.isprintable():
        return f"position name {commit.name!r}: expected 1 to {MAX_POSITION_NAME} printable characters"
    if len(commit.owner) > MAX_OWNER or not commit.owner.isprintable():
        return f"position {commit.name!r}: an owner has at most {MAX_OWNER} printable characters"
    if len(commit.positions) > MAX_POSITION_ORIGINS:
        return f"position {commit.name!r} has {len(commit.positions)} origins; at most {MAX_POSITION_ORIGINS}"
    if any(len(each.origin) != ORIGIN_BYTES for each in commit.positions):
        return f"position {commit.name!r}: an origin has {ORIGIN_BYTES} bytes"
    if any(not 1 <= each.next_sequence < 1 << 63 for each in commit.positions):
        return f"position {commit.name!r}: a next sequence is 1 or more, and fits into 63 bits"
    return ""


def node_name(data: ControlData) -> str:
    """Return the node name in an origin's first batch, at most 255 bytes; empty for any other batch."""
    if not isinstance(data, OriginStart):
        return ""
    return data.node_name.encode()[:MAX_NODE_NAME_BYTES].decode(errors="ignore")


def parse(payload: bytes | memoryview) -> ControlData:
    """Return the contents of a control batch; ``None`` for a kind that a newer version wrote.

    Raises:
        MalformedBatchError: The payload is not a ``Control`` message.
    """
    try:
        control = Control.FromString(bytes(payload))
    except DecodeError as exc:
        raise MalformedBatchError("control batch payload is not a Control message") from exc
    match control.WhichOneof("kind"):
        case "origin_start":
            return control.origin_start
        case "gap":
            return control.gap
        case "position_commit":
            return control.position_commit
        case _:
            return None
