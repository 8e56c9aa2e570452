"""Serf's queries, the answering side: a query's recipients, and this node's answers to the internal ones.

::

    _serf_ping                                      the acknowledgement is the answer
    _serf_conflict     name                         the member of that name, as known here
    _serf_install-key, _use-key, _remove-key  key   whether it was done
    _serf_list-keys                                 the keys, as base64 text

A filter that is invalid here matches no node; the query is still forwarded.

Source: serf ``query.go``, ``internal_query.go``, ``keymanager.go``.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from proglog.errors import ConfigError, InvalidRequestError
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.keyring import Keyring
from proglog.gossip.patterns import matches
from proglog.gossip.serf_messages import KEY_OPERATIONS, MAX_RESPONSE_BYTES, Filter, NamesFilter, TagFilter
from proglog.gossip.wire import SerfType, decode, encode, printable


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A question about keys, as a query carries it."""

    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class KeyAnswer:
    """One member's answer about its keys."""

    error: str
    """The error; empty if the operation succeeded."""
    keys: tuple[bytes, ...] = ()
    """The answer to ``list``."""
    primary: bytes = b""

    @classmethod
    def read(cls, payload: bytes) -> Self:
        """Read it; a malformed answer becomes an error of that member."""
        if payload[:1] != bytes((SerfType.KEY_RESPONSE,)):
            return cls("its answer is none about keys")
        try:
            fields = decode(payload[1:])
            texts = [each for each in fields.each("Keys") if isinstance(each, bytes)]
            keys = tuple(base64.b64decode(each, validate=True) for each in texts)
            primary = base64.b64decode(fields.raw("PrimaryKey", MAX_RESPONSE_BYTES), validate=True)
            message = printable(fields.text("Message", MAX_RESPONSE_BYTES))
        except (MalformedMessageError, ValueError) as exc:
            return cls(f"its answer is malformed: {exc}")
        return cls("" if fields.flag("Result") else message or "refused without a reason", keys, primary)


def key_request(operation: str, key: bytes) -> KeyRequest:
    """Return the query of an operation: ``list``, ``install``, ``use`` or ``remove``.

    Raises:
        InvalidRequestError: There is no such operation.
    """
    name = "list-keys" if operation == "list" else f"{operation}-key"
    if name not in KEY_OPERATIONS:
        raise InvalidRequestError(
            f"no operation on keys is called {operation!r}: expected list, install, use or remove"
        )
    return KeyRequest(f"_serf_{name}", encode(SerfType.KEY_REQUEST, {"Key": key}))


def passes(filters: Sequence[Filter], name: str, tags: Mapping[str, str]) -> bool:
    """Return whether a query with ``filters`` is for the node ``name`` with ``tags``.

    Raises:
        MalformedMessageError: A filter's expression is invalid.
    """
    return all(_passes(each, name, tags) for each in filters)


def answer_keys(keyring: Keyring | None, operation: str, key: bytes) -> tuple[bytes, bool]:
    """Return the answer to a question about keys, and whether the keyring changed."""
    answer: dict[str, Any] = {"Result": False, "Message": "", "Keys": None, "PrimaryKey": ""}
    if keyring is None:
        answer["Message"] = "No keyring: encryption is not enabled on this node"
        return encode(SerfType.KEY_RESPONSE, answer), False
    try:
        match operation:
            case "install-key":
                keyring.install(key)
            case "use-key":
                keyring.use(key)
            case "remove-key":
                keyring.remove(key)
            case _:
                texts = [base64.b64encode(known).decode() for known in keyring.keys]
                return encode(SerfType.KEY_RESPONSE, answer | {"Result": True} | _fitting(texts)), False
    except ConfigError as exc:
        return encode(SerfType.KEY_RESPONSE, answer | {"Message": str(exc)}), False
    return encode(SerfType.KEY_RESPONSE, answer | {"Result": True}), True


def _fitting(texts: list[str]) -> dict[str, Any]:
    """Return as many keys as fit into one response, and a note about the rest."""
    room = (MAX_RESPONSE_BYTES - 256) // 48
    message = f"{len(texts) - room} more keys do not fit" if len(texts) > room else ""
    return {"Keys": texts[:room], "PrimaryKey": texts[0], "Message": message}


def _passes(filter_: Filter, name: str, tags: Mapping[str, str]) -> bool:
    match filter_:
        case NamesFilter(names=names):
            return name in names
        case TagFilter(tag=tag, expression=expression):
            return matches(expression, tags.get(tag, ""))
