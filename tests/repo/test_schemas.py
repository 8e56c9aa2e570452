"""What verbs write for programs is documented, as the code has it."""

import importlib.util
import json
from pathlib import Path

import pytest

from proglog.cli.app import verb
from proglog.cli.output import Format
from proglog.cli.schemas import WITHOUT, schema, shapes
from proglog.cli.verbs import VERBS
from proglog.client import jsonl

ROOT = Path(__file__).resolve().parents[2]
FORMATS = {each.value for each in Format}


def generator():
    spec = importlib.util.spec_from_file_location("gen_schemas", ROOT / "tools" / "gen_schemas.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_and_the_schemas_are_current() -> None:
    made = generator()
    committed = {path.name: path.read_text() for path in (ROOT / "docs/reference/schemas").glob("*.json")}

    assert (ROOT / "docs/reference/json.md").read_text() == made.page(), "run `make docs`"
    assert committed == made.files(), "run `make docs`"


@pytest.mark.parametrize("name", [each for each in VERBS if each not in WITHOUT])
def test_every_verb_takes_every_format(name: str) -> None:
    (flag,) = [each for each in verb(name).params if "-o" in each.opts]

    assert set(flag.type.choices) >= FORMATS
    assert flag.envvar == "PROGLOG_OUTPUT"
    assert [each for each, _ in shapes() if each == name]


def test_a_shape_has_one_name() -> None:
    found = [shape for _, shape in shapes()]

    assert len({each.id for each in found}) == len({id(each) for each in found})


def test_what_the_client_writes_is_the_shape_of_a_record() -> None:
    (record,) = {each for _, each in shapes() if each.name == "record"}

    assert record.id == jsonl.SCHEMA
    assert list(schema(record)["definitions"]["line"]["properties"])[:-2] == list(jsonl._KEYS)


def test_names_carry_their_units() -> None:
    for _, shape in shapes():
        for name, part in _properties(schema(shape)):
            kinds = part.get("type", [])
            assert not name.endswith(("at_ms", "_seconds", "timestamp_ms", "_s_")), (shape.id, name)
            if part.get("format") == "date-time":
                assert name == "at" or name.endswith("_at"), (shape.id, name)
            if name.endswith("_ms"):
                assert "integer" in kinds or "number" in kinds, (shape.id, name)


def _properties(part):
    for name, each in part.get("properties", {}).items():
        yield name, each
        yield from _properties(each)
    for inner in (part.get("items"), part.get("additionalProperties"), *part.get("anyOf", ())):
        if isinstance(inner, dict):
            yield from _properties(inner)


def test_the_schemas_are_json() -> None:
    for path in (ROOT / "docs/reference/schemas").glob("*.json"):
        assert json.loads(path.read_text())["$schema"].startswith("http://json-schema.org/")
