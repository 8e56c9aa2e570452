"""Write docs/reference/api.md from the protos and their comments: `make docs`."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference" / "api.md"
PROTOS = ("log", "batches", "cluster", "membership", "replication")
HEAD = """# The gRPC API

Generated from `proto/proglog/api/v1/*.proto` by `make docs`. Beside these services every agent serves
`grpc.health.v1.Health` and server reflection. Batches are laid out as [formats](../concepts/formats.md) draws them.

An error carries a status code, a sentence, and in the trailing metadata `proglog-error-bin` its class and facts as JSON.
"""
_SERVICE = re.compile(r"^service (\w+) \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_MESSAGE = re.compile(r"^message \w+ \{(?:\}|.*?^\})$", re.MULTILINE | re.DOTALL)
_RPC = re.compile(r"rpc (\w+)\((stream )?(\w+)\) returns \((stream )?(\w+)\)")


def page() -> str:
    """Return the page."""
    return HEAD + "".join(_section(ROOT / f"proto/proglog/api/v1/{name}.proto") for name in PROTOS)


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
