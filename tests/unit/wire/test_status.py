"""Errors cross the wire as themselves."""

import inspect

import grpc
import pytest

from proglog import errors
from proglog.errors import ProglogError
from proglog.wire.status import CODES, MAX_DETAIL_BYTES, METADATA_KEY, code_of, from_status, to_status

SAMPLES: tuple[ProglogError, ...] = (
    ProglogError("something"),
    errors.ConfigError("--flag 3: expected 4"),
    errors.InvalidRequestError("no record"),
    errors.MalformedBatchError("no magic"),
    errors.RecordTooLargeError(5, 4),
    errors.NotFoundError("not here"),
    errors.OffsetOutOfRangeError(9, 2, 5),
    errors.DataLossError(3, 7),
    errors.StorageError("disk"),
    errors.DataDirLockedError("/data"),
    errors.LogFullError("full"),
    errors.LogReadOnlyError("read-only"),
    errors.LogPoisonedError("poisoned"),
    errors.LogClosedError(),
    errors.SequenceGapError(b"o" * 16, 4, 9),
    errors.ForkedOriginError(b"o" * 16, 4),
    errors.PreconditionError("not now"),
    errors.OtherLogError("another node's"),
    errors.PositionGoneError(b"o" * 16, 3, 9, "retention removed it"),
    errors.ProducerSequenceError("does not follow"),
    errors.TooFewServersError(5, 3),
    errors.AccessError("no"),
    errors.UnauthenticatedError("who"),
    errors.PermissionDeniedError("nobody", "produce", "*"),
    errors.UnavailableError("gone"),
    errors.DeadlineError("late"),
    errors.OverloadedError("busy"),
    errors.TooManyCallsError("busy"),
    errors.InternalError("internal error 12"),
)


def test_there_is_a_sample_of_every_error() -> None:
    declared = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ProglogError)}
    declared -= {errors.TaskFailedError, errors.NameTakenError}  # the agent ends with them: they cross no wire
    declared -= {kind for kind in declared if issubclass(kind, errors.ProduceError)}  # the client's own words
    declared -= {errors.ClosedError, errors.UsageError}

    assert {type(sample) for sample in SAMPLES} == declared


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_with_its_facts(error: ProglogError) -> None:
    code, details, metadata = to_status(error)

    back = from_status(code, details, metadata)

    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.OffsetOutOfRangeError(9, 2, 5), grpc.StatusCode.OUT_OF_RANGE),
        (errors.InvalidRequestError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.PermissionDeniedError("a", "b", "c"), grpc.StatusCode.PERMISSION_DENIED),
        (errors.LogFullError("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.DataLossError(1, 2), grpc.StatusCode.DATA_LOSS),
        (errors.LogClosedError(), grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_the_code_is_the_one_that_any_client_expects(error: ProglogError, code: grpc.StatusCode) -> None:
    assert code_of(error) is code


def test_a_subclass_stands_before_its_base_in_the_table() -> None:
    for number, (kind, _) in enumerate(CODES):
        assert not any(issubclass(later, kind) and later is not kind for later, _ in CODES[number + 1 :])


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        (),
        ((METADATA_KEY, b"\xff\x00"),),
        ((METADATA_KEY, b"[]"),),
        ((METADATA_KEY, b'{"error": "OffsetOutOfRangeError", "text": "x", "facts": [1]}'),),
        ((METADATA_KEY, b'{"error": "KeyboardInterrupt", "text": "x", "facts": []}'),),
        ((METADATA_KEY, b'{"error": "ForkedOriginError", "text": "x", "facts": ["zz", 1]}'),),
        ((METADATA_KEY, "text"),),
        ((METADATA_KEY, b"[" * 1500),),
        ((METADATA_KEY, b'{"error": "TooFewServersError", "text": "x", "facts": [' + b"9" * 5000 + b", 1]}"),),
    ],
)
def test_a_status_from_elsewhere_is_still_the_nearest_error(metadata: object) -> None:
    error = from_status(grpc.StatusCode.UNAVAILABLE, "gone away", metadata)  # type: ignore[arg-type]

    assert type(error) is errors.UnavailableError
    assert str(error) == "gone away"


def test_what_a_caller_sent_cannot_outgrow_the_metadata() -> None:
    error = errors.PermissionDeniedError("é" * 5000, "produce", "*")

    _, details, ((_, data),) = to_status(error)

    assert len(details.encode()) <= MAX_DETAIL_BYTES + 3
    assert len(data) < 8000
