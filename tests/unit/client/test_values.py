"""Values that programs keep, compare, pickle and log: records, cursors, positions, errors."""

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from proglog.client import (
    Cursor,
    InvalidRequestError,
    NamedPosition,
    NotWrittenError,
    Offset,
    OffsetOutOfRangeError,
    OriginId,
    PermissionDeniedError,
    PositionGoneError,
    ProduceError,
    ProglogError,
    Record,
    RecordTooLargeError,
    SequenceNumber,
    StoredRecord,
    TooFewServersError,
    UnavailableError,
    UnconfirmedError,
    UnknownOutcomeError,
)

ORIGIN = OriginId(b"o" * 16)
CURSOR = Cursor({ORIGIN: SequenceNumber(5)})
ERRORS: list[ProglogError] = [
    UnavailableError("away"),
    OffsetOutOfRangeError(5, 1, 2),
    PositionGoneError(ORIGIN, 1, 2, "retention"),
    PermissionDeniedError("root", "produce", "*"),
    RecordTooLargeError(9, 8),
    TooFewServersError(3, 1),
    ProduceError(UnavailableError("away"), acknowledged=1, unknown=2, unsent=3),
    NotWrittenError(UnavailableError("away")),
    UnknownOutcomeError(UnavailableError("away")),
    UnconfirmedError(acknowledged=1, unknown=2, nodes="3 nodes"),
]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_from_a_pickle_with_its_facts(
    error: ProglogError, again: Callable[[ProglogError], ProglogError]
) -> None:
    other = again(error)

    assert type(other) is type(error)
    assert str(other) == str(error)
    assert other.retriable == error.retriable
    assert [str(fact) for fact in vars(other).values()] == [str(fact) for fact in vars(error).values()]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_cursors_positions_and_records_come_back_equal_and_can_be_keys(again: Callable[[object], object]) -> None:
    stored = StoredRecord(value=b"v", offset=Offset(1), origin=ORIGIN, sequence=SequenceNumber(2))
    for value in (CURSOR, NamedPosition("n", 1, CURSOR, 5, 6), Record(value=b"v", headers={"a": b"b"}), stored):
        assert again(value) == value
        assert {value: 1}[again(value)] == 1


def test_a_cursor_is_shown_as_what_makes_it_again() -> None:
    assert eval(repr(CURSOR), {"Cursor": Cursor}) == CURSOR


def test_a_record_cannot_be_changed_after_it_was_made() -> None:
    record = Record(value=b"v")
    for name in ("value", "key", "timestamp_ms", "headers"):
        with pytest.raises(AttributeError):
            setattr(record, name, b"other")


def test_a_record_takes_bytes_like_values_and_is_not_changed_by_them() -> None:
    changing = bytearray(b"before")
    record = Record(value=changing, key=memoryview(b"key"), headers={"name": bytearray(b"x")})
    changing[:] = b"after!"

    assert (record.value, record.key, record.headers) == (b"before", b"key", (("name", b"x"),))
    assert Record(value=b"", headers=[("a", b"1"), ("a", b"2")]).headers == (("a", b"1"), ("a", b"2"))


def test_a_timestamp_is_milliseconds_or_a_datetime_and_may_be_the_epoch() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert Record(value=b"", timestamp_ms=moment).timestamp == moment
    assert Record(value=b"", timestamp_ms=0).timestamp_ms == 0
    assert Record(value=b"").timestamp_ms is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"value": "text"}, "value is bytes, not str; encode"),
        ({"value": None}, "value is bytes, not NoneType"),
        ({"value": b"", "key": 5}, "key is bytes, not int"),
        ({"value": b"", "headers": [("a", "text")]}, "header 'a' is bytes, not str"),
        ({"value": b"", "headers": [(b"a", b"x")]}, "header's name is text, not bytes"),
        ({"value": b"", "headers": [("\udc80", b"x")]}, "must be UTF-8 text"),
        ({"value": b"", "headers": 5}, "pairs of a name and a value"),
        ({"value": b"", "headers": ["ab", "cde"]}, "pairs of a name and a value|header 'a' is bytes"),
        ({"value": b"", "timestamp_ms": 1.5}, "milliseconds since 1970 or a datetime, not float"),
        ({"value": b"", "timestamp_ms": True}, "not bool"),
        ({"value": b"", "timestamp_ms": 1 << 63}, "does not fit into 64 bits"),
        ({"value": b"", "timestamp_ms": datetime(2026, 1, 2)}, "no time zone"),  # noqa: DTZ001 - that is the mistake
    ],
)
def test_a_record_that_cannot_be_is_refused_when_it_is_made(fields: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        Record(**fields)  # type: ignore[arg-type]
