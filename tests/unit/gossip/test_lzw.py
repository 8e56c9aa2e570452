"""Decompression of what Go's encoder makes."""

import random

import pytest

from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.lzw import decompress

LIMIT = 1 << 20


def compress(data: bytes) -> bytes:
    """Encode as Go's ``compress/lzw`` does: least significant bit first, 8-bit literals, a clear code at the front."""
    out, buffered, bits = bytearray(), 0, 0
    table: dict[bytes, int] = {bytes((byte,)): byte for byte in range(256)}
    high, width, overflow = 257, 9, 512

    def emit(code: int) -> None:
        nonlocal buffered, bits
        buffered |= code << bits
        bits += width
        while bits >= 8:
            out.append(buffered & 255)
            buffered >>= 8
            bits -= 8

    emit(256)
    word = b""
    for byte in data:
        longer = word + bytes((byte,))
        if longer in table:
            word = longer
            continue
        emit(table[word])
        high += 1
        if high == overflow:
            width, overflow = width + 1, overflow * 2
        if high == 4095:
            emit(256)
            table = {bytes((each,)): each for each in range(256)}
            high, width, overflow = 257, 9, 512
        else:
            table[longer] = high
        word = longer[-1:]
    if word:
        emit(table[word])
        high += 1
        if high == overflow:
            width += 1
        if high == 4095:
            emit(256)
            width = 9
    emit(257)
    if bits:
        out.append(buffered & 255)
    return bytes(out)


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 1000, 3838, 3839, 3840, 3841, 4096, 20_000, 100_000])
@pytest.mark.parametrize("alphabet", [1, 2, 7, 256])
def test_what_was_compressed_comes_back(size: int, alphabet: int) -> None:
    data = bytes(random.Random(size).randrange(alphabet) for _ in range(size))
    assert decompress(compress(data), LIMIT) == data


def test_output_is_bounded() -> None:
    packed = compress(bytes(100_000))
    assert len(packed) < 1000
    with pytest.raises(MalformedMessageError, match="more than"):
        decompress(packed, 99_999)


@pytest.mark.parametrize("cut", [0, 1, 5, 40])
def test_a_stream_without_its_end_is_refused(cut: int) -> None:
    with pytest.raises(MalformedMessageError, match="cut short"):
        decompress(compress(bytes(range(60)))[:cut], LIMIT)


def test_a_code_that_means_nothing_is_refused() -> None:
    with pytest.raises(MalformedMessageError, match="is undefined"):
        decompress(bytes((0, 0xFF, 0xFF, 0xFF)), LIMIT)


def test_any_bytes_end_in_a_result_or_an_error_of_the_protocol() -> None:
    chance = random.Random(5)
    refused = 0
    for _ in range(3000):
        try:
            decompress(chance.randbytes(chance.randrange(80)), LIMIT)
        except MalformedMessageError:
            refused += 1
    assert refused > 2000
