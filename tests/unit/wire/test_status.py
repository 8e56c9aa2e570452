"""Errors cross the wire as themselves."""

import inspect
import re

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from proglog import errors
from proglog.errors import ProglogError
from proglog.wire.status import DETAILS_KEY, DOMAIN, MAX_DETAIL_BYTES, TABLE, from_status, row_of, to_status

SAMPLES: tuple[ProglogError, ...] = (
    ProglogError("something"),
    errors.ConfigError("--flag 3: expected 4"),
    errors.InvalidRequestError("no record"),
    errors.MalformedBatchError("no magic"),
    errors.UnknownBatchFormatError("batch codec 7"),
    errors.RecordTooLargeError(5, 4),
    errors.NotFoundError("not here"),
    errors.OffsetOutOfRangeError(9, 2, 5),
    errors.DataLossError(3, 7),
    errors.StorageError("disk"),
    errors.UnknownFormatError("a later version"),
    errors.DataDirLockedError("/data"),
    errors.LogFullError("full"),
    errors.LogReadOnlyError("read-only"),
    errors.LogPoisonedError("poisoned"),
    errors.LogClosedError(),
    errors.DrainingError(),
    errors.SequenceGapError(b"o" * 16, 4, 9),
    errors.ForkedOriginError(b"o" * 16, 4),
    errors.PreconditionError("not now"),
    errors.OtherLogError("another node's"),
    errors.PositionGoneError(b"o" * 16, 3, 9, "retention removed it"),
    errors.ProducerSequenceError("does not follow"),
    errors.ProducerHoleError(b"p" * 16, 7, 9),
    errors.ProducerForgottenError(b"p" * 16, 70, 9),
    errors.ProducerFencedError(b"p" * 16, 3, 2),
    errors.PositionSupersededError("started over"),
    errors.TooManyPositionsError("all names are in use"),
    errors.IncompatibleReleaseError("upgrade it"),
    errors.OriginChangedError("say hello again"),
    errors.SelfConnectionError("itself"),
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
    assert row_of(error).code is code


def test_a_subclass_precedes_its_base_in_the_table() -> None:
    kinds = [row.kind for row in TABLE]
    for number, kind in enumerate(kinds):
        assert not any(issubclass(later, kind) and later is not kind for later in kinds[number + 1 :])


def test_every_reason_means_one_thing_and_is_written_as_reasons_are() -> None:
    reasons = [row.reason for row in TABLE]

    assert len(set(reasons)) == len(reasons) == len({row.kind for row in TABLE})
    assert all(re.fullmatch("[A-Z][A-Z_]{1,61}[A-Z]", reason) for reason in reasons)


def test_a_library_of_any_language_finds_reason_and_facts_by_name() -> None:
    _, details, ((key, data),) = to_status(errors.ProducerHoleError(b"p" * 16, 7, 9))

    status = Status.FromString(data)
    info = ErrorInfo()

    assert key == "grpc-status-details-bin"
    assert (status.code, status.message) == (9, details)
    assert status.details[0].type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("PRODUCER_HOLE", "proglog")
    assert dict(info.metadata) == {"producer_id": "70" * 16, "expected": "7", "found": "9"}


def details(reason: str, domain: str = DOMAIN, **facts: str) -> tuple[tuple[str, bytes], ...]:
    status = Status(code=14, message="x")
    status.details.add().Pack(ErrorInfo(reason=reason, domain=domain, metadata=facts))
    return ((DETAILS_KEY, status.SerializeToString()),)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        (),
        ((DETAILS_KEY, b"\xff\x00"),),
        ((DETAILS_KEY, Status(code=14).SerializeToString()),),
        ((DETAILS_KEY, "text"),),
        details("OFFSET_OUT_OF_RANGE", offset="1"),
        details("OFFSET_OUT_OF_RANGE", offset="1", start="two", end="3"),
        details("FORKED_ORIGIN", origin="zz", sequence="1"),
        details("SOMETHING_NEW"),
        details("DATA_LOSS", domain="another", start="1", end="2"),
        details("TOO_FEW_SERVERS", wanted="9" * 5000, servers="1"),
    ],
)
def test_a_status_from_elsewhere_is_still_the_nearest_error(metadata: object) -> None:
    error = from_status(grpc.StatusCode.UNAVAILABLE, "gone away", metadata)  # type: ignore[arg-type]

    assert type(error) is errors.UnavailableError
    assert str(error) == "gone away"


def test_what_a_caller_sent_cannot_outgrow_the_metadata() -> None:
    error = errors.PermissionDeniedError("é" * 5000 + "\udc80", "produce", "*")

    _, sentence, ((_, data),) = to_status(error)

    assert len(sentence.encode()) <= MAX_DETAIL_BYTES + 3
    assert len(data) < 8000


def test_a_named_error_of_a_later_version_is_no_broken_transport() -> None:
    error = from_status(grpc.StatusCode.INTERNAL, "odd", details("SOMETHING_NEW"))

    assert type(error) is ProglogError
    assert type(from_status(grpc.StatusCode.INTERNAL, "odd", None)) is errors.UnavailableError
