"""Keys: sealing, opening, exchanging, reading them from a file."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proglog.errors import ConfigError
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.keyring import MAX_KEYS, Keyring, parse_keys

A, B = bytes(32), bytes(range(32))
NONCE = bytes(range(12))


@pytest.mark.parametrize("size", [16, 24, 32])
def test_what_one_seals_another_opens(size: int) -> None:
    key = bytes(range(size))
    sealed = Keyring((key,)).seal(b"hello", nonce=NONCE, header=b"head")
    assert sealed[:13] == b"\x01" + NONCE
    assert len(sealed) == 5 + 29
    assert Keyring((A, key)).open(sealed, header=b"head") == b"hello"


def test_the_older_padded_version_is_opened() -> None:
    padded = b"hello" + bytes((11,)) * 11
    assert Keyring((A,)).open(b"\x00" + NONCE + AESGCM(A).encrypt(NONCE, padded, b"")) == b"hello"


@pytest.mark.parametrize("padding", [b"", bytes((0,)) * 16, bytes((17,)) * 17, b"hello" + bytes((3, 2, 3))])
def test_wrong_padding_is_refused(padding: bytes) -> None:
    sealed = b"\x00" + NONCE + AESGCM(A).encrypt(NONCE, padding, b"")
    with pytest.raises(MalformedMessageError):
        Keyring((A,)).open(sealed)


@pytest.mark.parametrize("position", [0, 1, 13, 20, -1])
def test_a_flipped_bit_anywhere_is_refused(position: int) -> None:
    sealed = bytearray(Keyring((A,)).seal(b"hello", nonce=NONCE))
    sealed[position] ^= 2
    with pytest.raises(MalformedMessageError):
        Keyring((A,)).open(bytes(sealed))


def test_keys_are_exchanged_without_a_moment_in_which_nobody_understands() -> None:
    mine, theirs = Keyring((A,)), Keyring((A,))
    for ring in (mine, theirs):
        ring.install(B)
    mine.use(B)
    assert theirs.open(mine.seal(b"new", nonce=NONCE)) == b"new"
    assert mine.open(theirs.seal(b"old", nonce=NONCE)) == b"old"
    theirs.use(B)
    theirs.remove(A)
    assert theirs.keys == (B,)


def test_an_operation_that_cannot_be_is_refused() -> None:
    ring = Keyring((A,))
    with pytest.raises(ConfigError, match="not in the keyring"):
        ring.use(B)
    with pytest.raises(ConfigError, match="primary"):
        ring.remove(A)
    with pytest.raises(ConfigError, match="16, 24 or 32"):
        ring.install(b"short")
    ring.remove(B)


def test_the_number_of_keys_is_bounded() -> None:
    ring = Keyring(tuple(number.to_bytes(16, "big") for number in range(MAX_KEYS)))
    with pytest.raises(ConfigError, match="full"):
        ring.install(B)


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.mark.parametrize(
    "file",
    [
        f"{text(A)}\n{text(B)}\n",
        f"# the cluster's keys\n\n  {text(A)}  \n{text(B)}",
        json.dumps([text(A), text(B), text(A)]),
        f"\n {json.dumps([text(A), text(B)], indent=2)}\n",
    ],
)
def test_keys_are_read_from_lines_or_serfs_array(file: str) -> None:
    assert parse_keys(file.encode()).keys == (A, B)


@pytest.mark.parametrize("file", [b"", b"# nothing\n", b"[]", b"[1]", b"[", b"not base64!", b"c2hvcnQ=", b"\xff\xfe"])
def test_a_file_without_keys_is_refused_in_one_line_that_shows_no_key(file: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_keys(file)
    assert "\n" not in str(caught.value)
    assert "c2hvcnQ" not in str(caught.value)
