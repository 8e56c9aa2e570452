"""Serf's queries, the answering side: whom a query is for, and what this node answers to the internal ones.

::

    _serf_ping                                      the acknowledgement is the answer
    _serf_conflict     name                         the member of that name, as known here
    _serf_install-key, _use-key, _remove-key  key   whether it was done
    _serf_list-keys                                 the keys, as base64 text

A filter by tag carries a regular expression of Go's linear-time engine. Python's can take exponential time, so only
patterns with at most one repetition are taken; a query with another one is passed on, and not answered.

Source: serf ``query.go``, ``internal_query.go``, ``keymanager.go``.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from proglog.errors import ConfigError
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.keyring import Keyring
from proglog.gossip.wire import SerfType, decode, decode_list, encode, names_in

MAX_RESPONSE_BYTES = 1024
KEY_OPERATIONS = ("install-key", "use-key", "remove-key", "list-keys")
_FILTER_NAMES, _FILTER_TAG = 0, 1
_MAX_PATTERN_BYTES = 256
_REPETITIONS = re.compile(r"[*+?{]")


def passes(filters: Sequence[Any], name: str, tags: Mapping[str, str]) -> bool:
    """Return whether a query with ``filters`` is for the node ``name`` with ``tags``.

    Raises:
        MalformedMessageError: A filter makes no sense, or is none that this node can judge.
    """
    return all(_passes(filter_, name, tags) for filter_ in filters)


def answer_keys(keyring: Keyring | None, operation: str, payload: bytes) -> tuple[bytes, bool]:
    """Return the answer to a key query, and whether the keyring changed.

    Raises:
        MalformedMessageError: The payload is no key request.
    """
    answer: dict[str, Any] = {"Result": False, "Message": "", "Keys": None, "PrimaryKey": ""}
    if keyring is None:
        answer["Message"] = "No keyring: encryption is not enabled on this node"
        return encode(SerfType.KEY_RESPONSE, answer), False
    if payload[:1] != bytes((SerfType.KEY_REQUEST,)):
        raise MalformedMessageError(f"query {operation}: the payload is no key request")
    key = decode(payload[1:]).raw("Key", 64)
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
    """Return as many keys as one response holds, and a word about the others."""
    room = (MAX_RESPONSE_BYTES - 256) // 48
    message = f"{len(texts) - room} more keys do not fit" if len(texts) > room else ""
    return {"Keys": texts[:room], "PrimaryKey": texts[0], "Message": message}


def _passes(filter_: object, name: str, tags: Mapping[str, str]) -> bool:
    if not isinstance(filter_, bytes) or not filter_:
        raise MalformedMessageError("query: a filter is no string")
    if filter_[0] == _FILTER_NAMES:
        return name in names_in(decode_list(filter_[1:]))
    if filter_[0] == _FILTER_TAG:
        fields = decode(filter_[1:])
        return _matches(fields.text("Expr", _MAX_PATTERN_BYTES), tags.get(fields.text("Tag"), ""))
    raise MalformedMessageError(f"query: filter type {filter_[0]} is not known here")


def _matches(pattern: str, value: str) -> bool:
    if len(_REPETITIONS.findall(pattern)) > 1:
        raise MalformedMessageError("query: a tag filter with more than one repetition is not judged here")
    try:
        return re.search(pattern, value) is not None
    except (re.error, RecursionError, OverflowError) as exc:
        raise MalformedMessageError(f"query: a tag filter that is no regular expression: {exc}") from exc
