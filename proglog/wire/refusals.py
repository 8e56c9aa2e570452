"""Which errors each call may end with: a part of the contract that clients in other languages handle case by case.

``docs/reference/api.md`` prints it. The tests' harness notes every refusal of every agent in its processes, and fails on one
that is not listed here.
"""

from collections.abc import Mapping

from proglog import errors
from proglog.errors import ProglogError

Kinds = tuple[type[ProglogError], ...]

EVERY_CALL: Kinds = (
    errors.InvalidRequestError,
    errors.PermissionDeniedError,
    errors.UnauthenticatedError,
    errors.TooManyCallsError,
    errors.DeadlineError,
    errors.UnavailableError,
    errors.LogClosedError,
    errors.InternalError,
)
"""What any call may end with, before and while it runs."""

_DISK: Kinds = (errors.StorageError, errors.UnknownFormatError)
_READ: Kinds = (errors.DataLossError, *_DISK)
_APPEND: Kinds = (errors.DrainingError, errors.LogFullError, errors.LogReadOnlyError, errors.LogPoisonedError, *_DISK)
_BOOKS_APPEND: Kinds = (errors.RecordTooLargeError, *_APPEND)
_BOOKS_READ: Kinds = (errors.OffsetOutOfRangeError, *_READ)

CALLS: Mapping[str, Kinds] = {
    "/log.v1.Log/Produce": _BOOKS_APPEND,
    "/log.v1.Log/ProduceStream": _BOOKS_APPEND,
    "/log.v1.Log/Consume": _BOOKS_READ,
    "/log.v1.Log/ConsumeStream": _BOOKS_READ,
    "/log.v1.Log/GetServers": (),
    "/proglog.v1.Batches/Produce": (
        errors.MalformedBatchError,
        errors.UnknownBatchFormatError,
        errors.RecordTooLargeError,
        errors.ProducerHoleError,
        errors.ProducerForgottenError,
        errors.ProducerFencedError,
        errors.ProducerSequenceError,
        errors.TooFewServersError,
        *_APPEND,
    ),
    "/proglog.v1.Batches/Consume": (
        errors.OffsetOutOfRangeError,
        errors.PositionGoneError,
        errors.OtherLogError,
        *_READ,
    ),
    "/proglog.v1.Positions/Commit": (errors.PositionSupersededError, errors.TooManyPositionsError, *_APPEND),
    "/proglog.v1.Positions/List": _DISK,
    "/proglog.v1.Positions/Reset": (errors.NotFoundError, *_DISK),
    "/proglog.v1.Replication/Replicate": (
        errors.IncompatibleReleaseError,
        errors.SelfConnectionError,
        errors.OriginChangedError,
        *_DISK,
    ),
    "/proglog.v1.Replication/ReadRange": (errors.NotFoundError, *_DISK),
    "/proglog.v1.Cluster/GetStatus": (),
    "/proglog.v1.Cluster/Watch": (),
    "/proglog.v1.Cluster/History": (),
    "/proglog.v1.Cluster/Verify": (errors.NotFoundError, errors.OverloadedError, *_DISK),
    "/proglog.v1.Cluster/ForceLeave": (errors.NotFoundError, errors.PreconditionError),
    "/proglog.v1.Cluster/Drain": (),
    "/proglog.v1.Membership/SendEvent": (),
    "/proglog.v1.Membership/FollowEvents": (),
    "/proglog.v1.Membership/Query": (errors.OverloadedError,),
    "/proglog.v1.Membership/SetTags": (errors.ConfigError,),
    "/proglog.v1.Membership/Join": (),
    "/proglog.v1.Membership/Leave": (),
    "/proglog.v1.Membership/Keys": (errors.PreconditionError,),
    "/proglog.v1.Membership/RoundTrip": (errors.NotFoundError,),
    "/proglog.v1.Losses/Accept": (errors.NotFoundError, *_DISK),
}
"""What each call may end with beside that."""
