"""Cursor tokens: what goes in comes out, and nothing else gets in."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proglog.client.cursor import Cursor
from proglog.errors import InvalidRequestError
from proglog.record.crc import crc
from proglog.types import MAX_ORDINAL, OriginId, SequenceNumber
from proglog.wire.contract import MAX_CURSOR_ORIGINS

ORIGINS = st.binary(min_size=16, max_size=16).map(OriginId)
SEQUENCES = st.integers(1, MAX_ORDINAL).map(SequenceNumber)
VECTORS = st.dictionaries(ORIGINS, SEQUENCES, max_size=8)
ONE = Cursor({OriginId(b"o" * 16): SequenceNumber(300)})


def sealed(body: bytes) -> str:
    return base64.urlsafe_b64encode(body + crc(body).to_bytes(4, "little")).rstrip(b"=").decode()


@given(VECTORS)
def test_a_token_says_the_position_that_it_was_made_of(positions: dict[OriginId, SequenceNumber]) -> None:
    token = Cursor(positions).token()

    assert dict(Cursor.parse(token).positions) == positions
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_equal_positions_have_equal_tokens_whatever_their_order() -> None:
    first, second = OriginId(b"a" * 16), OriginId(b"b" * 16)

    assert (
        Cursor({first: SequenceNumber(1), second: SequenceNumber(2)}).token()
        == Cursor({second: SequenceNumber(2), first: SequenceNumber(1)}).token()
    )


@given(st.integers(0, len(ONE.token()) - 1), st.sampled_from("AQgw-_09"))
def test_a_changed_character_is_noticed(at: int, character: str) -> None:
    token = ONE.token()
    changed = token[:at] + character + token[at + 1 :]
    try:
        assert Cursor.parse(changed) == ONE  # spare bits of the last character
    except InvalidRequestError as exc:
        assert "cursor" in str(exc)


@pytest.mark.parametrize("length", range(len(ONE.token())))
def test_a_token_that_was_not_copied_whole_is_refused(length: int) -> None:
    with pytest.raises(InvalidRequestError, match="cursor"):
        Cursor.parse(ONE.token()[:length])


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", "checksum"),
        ("n o", "characters"),
        ("é", "characters"),
        ("A" * 6_000_000, "at most"),
        (sealed(b"\x02"), "version 2"),
        (sealed(b"\x01" + b"o" * 15), "middle"),
        (sealed(b"\x01" + b"o" * 16), "middle"),
        (sealed(b"\x01" + b"o" * 16 + b"\xff" * 20), "middle"),
        (sealed(b"\x01" + b"o" * 16 + b"\x00"), "sequence 0"),
        (sealed(b"\x01" + b"o" * 16 + b"\x01" + b"o" * 16 + b"\x01"), "out of order"),
        (sealed(b"\x01" + b"p" * 16 + b"\x01" + b"o" * 16 + b"\x01"), "out of order"),
    ],
    ids=range(11),
)
def test_what_is_no_token_is_refused_in_words(token: str, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        Cursor.parse(token)


@given(st.text(max_size=100))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    try:
        Cursor.parse(text)
    except InvalidRequestError:
        return


def test_a_cursor_of_too_many_origins_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="at most"):
        Cursor({OriginId(number.to_bytes(16, "big")): SequenceNumber(1) for number in range(MAX_CURSOR_ORIGINS + 1)})


def test_a_cursor_does_not_change_with_what_it_was_made_of() -> None:
    positions = {OriginId(b"o" * 16): SequenceNumber(1)}
    cursor = Cursor(positions)
    positions[OriginId(b"o" * 16)] = SequenceNumber(2)

    assert cursor.positions[OriginId(b"o" * 16)] == 1
