"""The one table from errors to gRPC statuses and back.

A status carries a code and a sentence for every client, and in trailing metadata (``proglog-error-bin``) the error's
class and facts as JSON, so that a proglog client raises the very error that the server did. What comes back is
checked: a status from anywhere else still becomes the nearest error.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

import grpc

from proglog import errors
from proglog.errors import ProglogError

METADATA_KEY = "proglog-error-bin"
MAX_DETAIL_BYTES = 1024
"""Sentences may quote what a caller sent: cut, since all trailing metadata has to fit into 8 KiB."""

Code = grpc.StatusCode

# The most specific class first: the first that matches gives the code.
CODES: tuple[tuple[type[ProglogError], grpc.StatusCode], ...] = (
    (errors.RecordTooLargeError, Code.INVALID_ARGUMENT),
    (errors.MalformedBatchError, Code.INVALID_ARGUMENT),
    (errors.InvalidRequestError, Code.INVALID_ARGUMENT),
    (errors.ConfigError, Code.FAILED_PRECONDITION),
    (errors.OffsetOutOfRangeError, Code.OUT_OF_RANGE),
    (errors.PositionGoneError, Code.OUT_OF_RANGE),
    (errors.NotFoundError, Code.NOT_FOUND),
    (errors.DataLossError, Code.DATA_LOSS),
    (errors.LogFullError, Code.RESOURCE_EXHAUSTED),
    (errors.LogReadOnlyError, Code.FAILED_PRECONDITION),
    (errors.LogPoisonedError, Code.INTERNAL),
    (errors.LogClosedError, Code.UNAVAILABLE),
    (errors.DataDirLockedError, Code.FAILED_PRECONDITION),
    (errors.StorageError, Code.INTERNAL),
    (errors.SequenceGapError, Code.FAILED_PRECONDITION),
    (errors.ForkedOriginError, Code.FAILED_PRECONDITION),
    (errors.PreconditionError, Code.FAILED_PRECONDITION),
    (errors.PermissionDeniedError, Code.PERMISSION_DENIED),
    (errors.UnauthenticatedError, Code.UNAUTHENTICATED),
    (errors.AccessError, Code.PERMISSION_DENIED),
    (errors.DeadlineError, Code.DEADLINE_EXCEEDED),
    (errors.OverloadedError, Code.RESOURCE_EXHAUSTED),
    (errors.UnavailableError, Code.UNAVAILABLE),
    (errors.InternalError, Code.INTERNAL),
    (ProglogError, Code.UNKNOWN),
)

# How an error with facts is made again from them; the others are made from their sentence.
_FACTS: dict[str, tuple[tuple[str, ...], Callable[..., ProglogError]]] = {
    "RecordTooLargeError": (("size_bytes", "limit_bytes"), errors.RecordTooLargeError),
    "OffsetOutOfRangeError": (("offset", "start", "end"), errors.OffsetOutOfRangeError),
    "PositionGoneError": (("origin", "start", "end", "reason"), errors.PositionGoneError),
    "DataLossError": (("start", "end"), errors.DataLossError),
    "DataDirLockedError": (("path",), errors.DataDirLockedError),
    "LogClosedError": ((), errors.LogClosedError),
    "SequenceGapError": (("origin", "expected", "found"), errors.SequenceGapError),
    "ForkedOriginError": (("origin", "sequence"), errors.ForkedOriginError),
    "TooFewServersError": (("wanted", "servers"), errors.TooFewServersError),
    "PermissionDeniedError": (("subject", "action", "object"), errors.PermissionDeniedError),
}

# What a bare status from elsewhere - a proxy, gRPC itself - is taken for. A proglog server says which error it is, so a
# bare INTERNAL, UNKNOWN or CANCELLED is a transport that broke: gRPC calls one event by each of these, as it happens.
_BY_CODE: dict[grpc.StatusCode, type[ProglogError]] = {
    Code.INVALID_ARGUMENT: errors.InvalidRequestError,
    Code.OUT_OF_RANGE: errors.NotFoundError,
    Code.NOT_FOUND: errors.NotFoundError,
    Code.PERMISSION_DENIED: errors.AccessError,
    Code.UNAUTHENTICATED: errors.UnauthenticatedError,
    Code.DEADLINE_EXCEEDED: errors.DeadlineError,
    Code.RESOURCE_EXHAUSTED: errors.OverloadedError,
    Code.UNAVAILABLE: errors.UnavailableError,
    Code.CANCELLED: errors.UnavailableError,
    Code.INTERNAL: errors.UnavailableError,
    Code.UNKNOWN: errors.UnavailableError,
    Code.UNIMPLEMENTED: errors.InvalidRequestError,
}


def code_of(error: ProglogError) -> grpc.StatusCode:
    """Return the status code of ``error``."""
    return next(code for kind, code in CODES if isinstance(error, kind))


def to_status(error: ProglogError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Return code, sentence and trailing metadata of ``error``."""
    return code_of(error), _cut(str(error)), ((METADATA_KEY, _encode(error)),)


def from_status(code: grpc.StatusCode, details: str, metadata: Iterable[tuple[str, Any]] | None) -> ProglogError:
    """Return the error that a status stands for; never fails, whatever a server sent."""
    for key, value in metadata or ():
        if key == METADATA_KEY and isinstance(value, bytes):
            error = _decode(value)
            if error is not None:
                return error
            if code in (Code.INTERNAL, Code.UNKNOWN):  # a server of another version named it: no broken transport
                return ProglogError(details or code.name.lower())
    return _BY_CODE.get(code, ProglogError)(details or code.name.lower().replace("_", " "))


def _encode(error: ProglogError) -> bytes:
    name = type(error).__name__
    names, _ = _FACTS.get(name, ((), None))
    facts = [_plain(getattr(error, fact)) for fact in names]
    return json.dumps({"error": name, "text": _cut(str(error)), "facts": facts}).encode()


def _decode(data: bytes) -> ProglogError | None:
    try:
        content = json.loads(data)
        name, text, facts = str(content["error"]), str(content["text"]), list(content["facts"])
        if name in _FACTS:
            names, make = _FACTS[name]
            return make(
                *(bytes.fromhex(fact) if key == "origin" else fact for key, fact in zip(names, facts, strict=True))
            )
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, ProglogError):
            return kind(text)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None  # not from a proglog server of this version: the bare status says enough
    return None


def _plain(fact: object) -> object:
    return fact.hex() if isinstance(fact, bytes) else _cut(fact) if isinstance(fact, str) else fact


def _cut(text: str) -> str:
    data = text.encode("utf-8", "replace")
    return text if len(data) <= MAX_DETAIL_BYTES else data[:MAX_DETAIL_BYTES].decode("utf-8", "ignore") + "..."
