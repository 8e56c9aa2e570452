"""The label of a cluster: packets and streams with another label, or without it, are refused.

::

    datagram   [ 244, length, label ] [ datagram ]            the label is authenticated as well, if gossip is sealed
    stream     [ 244, length, label ] [ request ]             the reply has no label, but is sealed with it

It separates clusters that share a network and perhaps a key: a wrong seed can't merge them. It is no secret. Source:
memberlist ``label.go``, ``net.go``.
"""

from proglog.errors import ConfigError
from proglog.gossip.errors import MalformedMessageError

MAX_LABEL_BYTES = 255
HAS_LABEL = 244
"""The first byte of what has a label; no message type is that high."""


def parse_label(text: str, flag: str) -> bytes:
    """Return a label as it goes over the wire; empty: there is none.

    Raises:
        ConfigError: It is longer than ``MAX_LABEL_BYTES``, or not printable.
    """
    label = text.encode("utf-8", "surrogatepass")
    if len(label) > MAX_LABEL_BYTES or not text.isprintable():
        raise ConfigError(f"{flag} {text!r}: expected at most {MAX_LABEL_BYTES} bytes of printable text")
    return label


def labelled(data: bytes, label: bytes) -> bytes:
    """Return ``data`` with the header of ``label`` before it."""
    return bytes((HAS_LABEL, len(label))) + label + data if label else data


def unlabelled(data: bytes, label: bytes) -> bytes | None:
    """Return ``data`` without its header; ``None`` if the header isn't whole.

    Raises:
        MalformedMessageError: Its label isn't ``label``.
    """
    if not data.startswith(bytes((HAS_LABEL,))):
        if data and label:
            raise MalformedMessageError(f"no label, but this cluster's is {_shown(label)}")
        return data
    size = data[1] if len(data) > 1 else 0
    if len(data) < 2 or len(data) < 2 + size:
        return None
    found = data[2 : 2 + size]
    if found != label or not size:
        raise MalformedMessageError(f"the label {_shown(found)}, but this cluster's is {_shown(label)}")
    return data[2 + size :]


def overhead(label: bytes) -> int:
    """Return the bytes that ``label`` takes of each packet."""
    return len(labelled(b"", label))


def _shown(label: bytes) -> str:
    return repr(label.decode(errors="replace"))
