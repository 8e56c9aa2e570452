"""Unsigned LEB128, as protobuf and cursors have it. Pure."""

from proglog.errors import InvalidRequestError


def encode(number: int) -> bytes:
    """Return a number as bytes, seven bits each, the lowest first."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at ``at``, and where it ends.

    Raises:
        InvalidRequestError: The bytes end before it does, or it has more than 63 bits.
    """
    number = shift = 0
    while at < len(data) and shift < 63:
        number |= (data[at] & 0x7F) << shift
        if data[at] < 0x80:
            return number, at + 1
        at, shift = at + 1, shift + 7
    raise InvalidRequestError("the cursor ends in the middle of a position")
