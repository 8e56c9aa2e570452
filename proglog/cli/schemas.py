"""JSON Schemas (draft 7) of what verbs write, made of the dataclasses that they write.

A schema describes the document of ``-o json``; its definition ``line`` a line of ``-o jsonl``. Descriptions are the
docstrings of the fields.
"""

import ast
import dataclasses
import importlib
import inspect
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

from proglog.cli.shapes import EMPTY_IS_NULL, ITEMS, SCHEMA, Shape, is_instant, key_of
from proglog.cli.verbs import VERBS

WITHOUT = {"dash": "a screen for people; its facts are those of status, members, lag and segments"}
"""Verbs that write no data, and why."""
_SCALARS: dict[object, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bytes: {"type": "string", "pattern": "^([0-9a-f]{2})*$"},
    types.NoneType: {"type": "null"},
    object: {},
}
_INSTANT = {"type": ["string", "null"], "format": "date-time"}
_CHANGE = {
    "change": {"enum": ["listed", "added", "changed", "removed"], "description": "With --watch only."},
    "seen_at": {"type": "string", "format": "date-time", "description": "With --watch only."},
}


def shapes() -> Iterator[tuple[str, Shape]]:
    """Yield every verb with each of its shapes, in the order of the help."""
    for verb in VERBS:
        module = importlib.import_module(f"proglog.cli.commands.{verb.replace('-', '_')}")
        for shape in getattr(module, "SHAPES", ()):
            yield verb, shape


def schema(shape: Shape) -> dict[str, Any]:
    """Return the schema of a shape."""
    item = schema_of(shape.of)
    head = {SCHEMA: {"const": shape.id}}
    line = _with(item, head, required=[SCHEMA])
    whole = line
    if shape.many:
        line = line | {"properties": line["properties"] | _CHANGE}
        listed = {ITEMS: {"type": "array", "items": item}}
        whole = {"type": "object", "properties": head | listed, "required": [SCHEMA, ITEMS]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"{shape.id}.json",
        "title": shape.id,
        **whole,
        "definitions": {"line": line if shape.many else {"$ref": "#"}},
    }


def schema_of(kind: Any, name: str = "") -> dict[str, Any]:
    """Return the schema of the value of a field, by its type and name."""
    if name and is_instant(name):
        return dict(_INSTANT)
    if isinstance(kind, NewType):
        return schema_of(kind.__supertype__, name)
    if kind is types.NoneType or kind in _SCALARS:
        return _nullable(dict(_SCALARS[kind]), name)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _nullable(_any([schema_of(each) for each in arguments]), name)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    assert isinstance(kind, type), f"{kind} has no schema"
    if issubclass(kind, PurePath):
        return {"type": "string"}
    if issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    made: dict[str, Any] = _object(kind)
    return made


def rows(shape: Shape) -> list[tuple[str, str, str]]:
    """Return each key of a shape's item with its type and meaning, in words."""
    properties = schema_of(shape.of)["properties"]
    return [(key, type_words(each), each.get("description", "")) for key, each in properties.items()]


def type_words(part: Mapping[str, Any]) -> str:
    """Return what a schema allows, in words."""
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(type_words(each) for each in part["anyOf"]))
    if "enum" in part:
        return ", ".join("null" if each is None else str(each) for each in part["enum"])
    kind = part.get("type", "any")
    kinds = list(kind) if isinstance(kind, list) else [kind]
    if part.get("format") == "date-time":
        kinds[0] = "instant"
    if kinds[0] == "array":
        inner = part["items"]
        kinds[0] = f"array of {', '.join(inner['properties']) if 'properties' in inner else type_words(inner)}"
    elif kinds[0] == "object" and "properties" in part:
        kinds[0] = f"object: {', '.join(part['properties'])}"
    return " or ".join(kinds)


def _object(kind: Any) -> dict[str, Any]:
    hints, said = get_type_hints(kind), _docstrings(kind)
    properties = {}
    for each in dataclasses.fields(kind):
        made = schema_of(hints[each.name], each.name)
        properties[key_of(each.name)] = made | ({"description": said[each.name]} if each.name in said else {})
    return {"type": "object", "properties": properties, "required": list(properties)}


def _with(item: Mapping[str, Any], more: Mapping[str, Any], *, required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**more, **item["properties"]},
        "required": [*required, *item["required"]],
    }


def _nullable(part: dict[str, Any], name: str) -> dict[str, Any]:
    """Let a field be ``null`` if its name says that it may be unknown."""
    if "type" not in part or not (name in EMPTY_IS_NULL or name.endswith("_ms")):
        return part
    kinds = part["type"] if isinstance(part["type"], list) else [part["type"]]
    return part | {"type": [*dict.fromkeys([*kinds, "null"])]}


def _any(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the union: of plain types, a list of their names."""
    if all(part.keys() == {"type"} and isinstance(part["type"], str) for part in parts):
        kinds = list(dict.fromkeys(part["type"] for part in parts))
        return {"type": kinds if len(kinds) > 1 else kinds[0]}
    return {"anyOf": parts}


def _docstrings(kind: type) -> dict[str, str]:
    """Return the docstrings that follow the fields of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(following, ast.Expr):
            words = following.value.value if isinstance(following.value, ast.Constant) else None
            if isinstance(words, str):
                found[field.target.id] = " ".join(words.split()).replace("``", "`")
    return found
