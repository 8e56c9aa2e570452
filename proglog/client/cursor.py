"""A consumer's position in all origins at once, as text: it fits every node, where an offset fits one.

A token is URL-safe base64 without padding, of::

     0         1                                                       n - 4      n
    +---------+------------------------------------------------------+----------+
    | version | (origin, 16 bytes; next sequence, LEB128) ...        | checksum |
    +---------+------------------------------------------------------+----------+

The checksum is the batches' CRC-32C, little-endian. Origins ascend and occur once, so that equal positions have equal
tokens. Everything of an origin before its next sequence has been consumed; an origin that is not there is wanted from
its start. A token grants no access: it is no secret and proves nothing.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from proglog.client import varint
from proglog.errors import InvalidRequestError
from proglog.record.crc import crc
from proglog.types import MAX_ORDINAL, ORIGIN_BYTES, OriginId, SequenceNumber
from proglog.wire.contract import MAX_CURSOR_ORIGINS

VERSION = 1
MAX_TOKEN_CHARS = 5 * 1024 * 1024
_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position vector. Equal cursors have equal positions."""

    positions: Mapping[OriginId, SequenceNumber] = field(default_factory=dict)
    """The next sequence that is wanted, by origin."""

    def __post_init__(self) -> None:
        """Keep a private copy.

        Raises:
            InvalidRequestError: Too many origins, or something that is no origin or no sequence.
        """
        if len(self.positions) > MAX_CURSOR_ORIGINS:
            raise InvalidRequestError(f"a cursor has at most {MAX_CURSOR_ORIGINS} origins, not {len(self.positions)}")
        for origin, sequence in self.positions.items():
            if len(origin) != ORIGIN_BYTES or not 1 <= sequence <= MAX_ORDINAL:
                raise InvalidRequestError(f"a cursor cannot hold sequence {sequence} of origin {origin.hex()[:40]!r}")
        object.__setattr__(self, "positions", MappingProxyType(dict(self.positions)))

    def __hash__(self) -> int:
        return hash(frozenset(self.positions.items()))

    def __reduce__(self) -> tuple[type["Cursor"], tuple[dict[OriginId, SequenceNumber]]]:
        return Cursor, (dict(self.positions),)

    def __repr__(self) -> str:
        return f"Cursor.parse({self.token()!r})"

    def __str__(self) -> str:
        """Return the token."""
        return self.token()

    def token(self) -> str:
        """Return the position as text that :meth:`parse` reads."""
        body = bytearray((VERSION,))
        for origin, sequence in sorted(self.positions.items()):
            body += origin
            body += varint.encode(sequence)
        body += crc(body).to_bytes(_CHECKSUM_BYTES, "little")
        return base64.urlsafe_b64encode(body).rstrip(b"=").decode("ascii")

    @classmethod
    def parse(cls, token: str) -> "Cursor":
        """Return the position that a token says.

        Raises:
            InvalidRequestError: It is not one; the message says what is wrong with it.
        """
        body = _checked(token)
        positions: dict[OriginId, SequenceNumber] = {}
        at, last = 1, b""
        while at < len(body):
            origin = OriginId(bytes(body[at : at + ORIGIN_BYTES]))
            sequence, at = varint.decode(body, at + ORIGIN_BYTES)
            if origin <= last:
                raise InvalidRequestError("the cursor names its origins out of order")
            positions[origin], last = SequenceNumber(sequence), origin
        return cls(positions)


def _checked(token: str) -> bytes:
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidRequestError(f"a cursor has at most {MAX_TOKEN_CHARS:,} characters, not {len(token):,}")
    try:
        data = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise InvalidRequestError("the cursor has invalid characters, or its length is wrong") from None
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if not body or crc(body) != int.from_bytes(checksum, "little"):
        raise InvalidRequestError("the cursor's checksum does not match: was all of it copied?")
    if body[0] != VERSION:
        raise InvalidRequestError(f"the cursor has version {body[0]}; this program knows version {VERSION}")
    return body
