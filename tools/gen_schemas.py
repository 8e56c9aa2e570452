"""Write docs/reference/json.md and the JSON schemas beside it from the shapes of the verbs: `make docs`."""

import json
from pathlib import Path

from proglog.cli.schemas import WITHOUT, rows, schema, shapes
from proglog.cli.shapes import Shape

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference" / "json.md"
SCHEMAS = ROOT / "docs" / "reference" / "schemas"
HEAD = """# What verbs write for programs

Generated from the code by `make docs`. Every verb takes `-o`, with one meaning:

| `-o` | stdout |
|---|---|
| `table` | for people: columns and words; may change at any time |
| `json` | one document |
| `jsonl` | a line of JSON per item; with `--watch`, a line per change: `change` is listed, added, changed or removed, at `seen_at` |
| `plain` | bare values between tabs, in the order of the keys below: no heading, units, glyphs or grouping; nothing for null. Of a single document, a line per key: `log.end_offset`, a tab, the value |

Verbs that only do something print a sentence on stderr with `table`, and a document on stdout otherwise. `check` also has
`nagios` and `prometheus`. Errors are on stderr, and in [the exit code](cli.md#exit-codes).

- A document of a list is `{"schema": ..., "items": [...]}`; any other has its keys beside `schema`.
- `schema` is `proglog/NAME/VERSION`. The version grows when a key goes away or changes its meaning; new keys may come at
  any time, and behind the others. A JSON Schema of each is in [schemas/](schemas/).
- Every key is always there; what is unknown or does not apply is `null`.
- A name that ends in `_at` is an instant, by RFC 3339 in UTC; `_ms` a duration in milliseconds; `bytes` a size in bytes;
  `_per_s` a rate a second. Ranges are half-open: `end_offset` is one past the last. Origins are hexadecimal.
- Text in `plain` escapes the backslash and what is not printable: `\\\\`, `\\t`, `\\n`, `\\x1b`.
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for verb, each in shapes():
        parts.append(f"\n## {verb}: {each.id}\n\n{_about(each)}\n\n{_table(each)}")
    parts.append("\n## Verbs without\n\n" + "".join(f"`{verb}`: {why}.\n" for verb, why in WITHOUT.items()))
    return "".join(parts)


def files() -> dict[str, str]:
    """Return the text of each schema by the name of its file."""
    return {file_name(each): json.dumps(schema(each), indent=2) + "\n" for _, each in shapes()}


def file_name(shape: Shape) -> str:
    """Return the name of a schema's file."""
    return f"{shape.name}-{shape.version}.json"


def _about(shape: Shape) -> str:
    kind = "A list of items" if shape.many else "One document"
    return f"{kind}. {(shape.of.__doc__ or '').strip()} [Schema](schemas/{file_name(shape)})."


def _table(shape: Shape) -> str:
    cells = "".join(f"| `{key}` | {kind} | {_cell(words)} |\n" for key, kind, words in rows(shape))
    return f"| key | type | |\n|---|---|---|\n{cells}"


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(page())
    SCHEMAS.mkdir(exist_ok=True)
    made = files()
    for path in SCHEMAS.glob("*.json"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (SCHEMAS / name).write_text(text)
