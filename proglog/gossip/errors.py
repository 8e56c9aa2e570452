"""Errors in bytes received on the gossip port."""

from proglog.errors import ProglogError


class MalformedMessageError(ProglogError):
    """Bytes that are not a message of the protocol, over a limit, or not sealed with a key of ours."""
