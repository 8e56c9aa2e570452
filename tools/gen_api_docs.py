"""Write docs/reference/api.md from the protos and their comments: `make docs`."""

import re
from pathlib import Path

from proglog.wire.refusals import CALLS, EVERY_CALL, Kinds
from proglog.wire.status import TABLE

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference" / "api.md"
PROTOS = (
    "log/v1/log",
    *(f"proglog/v1/{name}" for name in ("batches", "cluster", "losses", "membership", "replication")),
)
HEAD = """# The gRPC API

Generated from `proto/` by `make docs`. Beside these services every agent serves
`grpc.health.v1.Health` and server reflection. Batches are laid out as [formats](../concepts/formats.md) draws them.

What the messages can't say - checksums, cursors, retries, limits - is in [the wire contract](../concepts/wire.md).
"""
ERRORS = """
## Errors

An error carries a status code, a sentence, and in `grpc-status-details-bin` a `google.rpc.ErrorInfo` of the domain
`proglog`: a reason that means one thing, and the facts by name.

| reason | code | facts | |
|---|---|---|---|
"""
REFUSALS = """
## Errors of each call

With the code before its reasons. Every call may end with the first row's.

| call | |
|---|---|
"""
_SERVICE = re.compile(r"^service (\w+) \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_MESSAGE = re.compile(r"^(?:message|enum) \w+ \{(?:\}|.*?^\})$", re.MULTILINE | re.DOTALL)
_RPC = re.compile(r"rpc (\w+)\((stream )?(\w+)\) returns \((stream )?(\w+)\)")


def page() -> str:
    """Return the page."""
    rows = "".join(
        f"| `{row.reason}` | {row.code.name} | {', '.join(f'`{name}`' for name in row.facts)} | {_first_sentence(row.kind)} |\n"
        for row in TABLE
    )
    calls = "".join(
        f"| {call[1:]} | {_refusals(kinds)} |\n" for call, kinds in {" every call": EVERY_CALL, **CALLS}.items()
    )
    return HEAD + ERRORS + rows + REFUSALS + calls + "".join(_section(ROOT / f"proto/{name}.proto") for name in PROTOS)


def _refusals(kinds: Kinds) -> str:
    by_code: dict[str, list[str]] = {}
    for row in TABLE:
        if row.kind in kinds:
            by_code.setdefault(row.code.name, []).append(f"`{row.reason}`")
    return "; ".join(f"{code}: {', '.join(reasons)}" for code, reasons in by_code.items()) or "nothing else"


def _first_sentence(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")


def _section(path: Path) -> str:
    text = path.read_text()
    package = re.search(r"^package (.+);$", text, re.MULTILINE)
    intro = re.search(r"^syntax.*?\n\n((?://.*\n)*)", text)
    assert package, f"{path} has a package"
    parts = []
    for service in _SERVICE.finditer(text):
        parts.append(f"\n## {package[1]}.{service[1]}\n\n{_comment(intro[1] if intro else '')}\n")
        parts.append("\n| call | takes | answers | |\n|---|---|---|---|\n")
        comment: list[str] = []
        for line in service[2].splitlines():
            rpc = _RPC.search(line)
            if rpc:
                takes, answers = (
                    f"{'stream of ' if flow else ''}`{name}`" for flow, name in (rpc.group(2, 3), rpc.group(4, 5))
                )
                parts.append(f"| `{rpc[1]}` | {takes} | {answers} | {_comment(chr(10).join(comment))} |\n")
                comment = []
            elif line.strip().startswith("//"):
                comment.append(line)
    messages = [f"{match[0]}\n" for match in _MESSAGE.finditer(text)]
    return "".join(parts) + "\n```protobuf\n" + "\n".join(messages) + "```\n"


def _comment(text: str) -> str:
    return " ".join(line.strip().removeprefix("//").strip() for line in text.splitlines())


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(page())
