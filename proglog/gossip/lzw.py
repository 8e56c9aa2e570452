"""LZW as memberlist compresses with: least significant bit first, 8-bit literals, codes of 9 to 12 bits.

::

    code < 256   a literal byte
    256          clear: forget the table
    257          end
    code >= 258  an entry: the previous code's bytes, and the first byte of what follows

Only decoding is needed: compression is the sender's choice, and every receiver takes plain messages.

Source: Welch 1984; Go's ``compress/lzw`` for the width rule.
"""

from proglog.gossip.errors import MalformedMessageError

_CLEAR, _END, _MAX_WIDTH = 256, 257, 12


def decompress(data: bytes, max_bytes: int) -> bytes:
    """Return what ``data`` was compressed from.

    Raises:
        MalformedMessageError: Not LZW, cut short, or more than ``max_bytes``.
    """
    output = bytearray()
    literals = [bytes((byte,)) for byte in range(256)]
    table: dict[int, bytes] = {}
    last: bytes | None = None
    high, width, overflow = _END, 9, 512
    buffered, bits = 0, 0
    for byte in data:
        buffered |= byte << bits
        bits += 8
        if bits < width:
            continue
        code = buffered & ((1 << width) - 1)
        buffered >>= width
        bits -= width
        if code == _CLEAR:
            table, last = {}, None
            high, width, overflow = _END, 9, 512
            continue
        if code == _END:
            return bytes(output)
        if code < 256:
            entry = literals[code]
        elif code == high and last is not None:
            entry = last + last[:1]
        elif code in table and code < high:
            entry = table[code]
        else:
            raise MalformedMessageError(f"compressed message: code {code} is undefined")
        output += entry
        if len(output) > max_bytes:
            raise MalformedMessageError(f"compressed message: more than {max_bytes:,} bytes")
        if last is not None:
            table[high] = last + entry[:1]
        last = entry
        high += 1
        if high >= overflow:
            if width == _MAX_WIDTH:
                high, last = overflow - 1, None
            else:
                width += 1
                overflow *= 2
    raise MalformedMessageError("compressed message: cut short")
