"""One way to write a thing, and one to read it: ranges are half-open everywhere, and each grammar has one parser."""

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "proglog"
RANGE_IN_WORDS = re.compile(
    r"(?:offsets?|sequences?|records|bytes) \{[^{}]*\} (?:to|…|\.\.|-) \{"
    r"|\{[^{}]*(?:offset|sequence)[^{}]*\} (?:to|…|\.\.|-) \{|\b(?:end|offset|sequence) - 1(?::,)?\}|\}\.\.\{"
)
"""A sentence that writes the two ends of a range itself, or the last of it instead of one past the last."""
CUTS = ("partition", "rpartition", "split", "rsplit")
TYPED = re.compile(r"text|acks|warn|crit|digits|value|str\(.*|os\.environ.*|\w*match.*|width\[.*")
"""What holds text that somebody typed, as the modules of the command line name it."""
PARSERS: dict[str, set[str]] = {
    "fromisoformat": {"client/times.py"},
    "strptime": set(),
    "load_pem_x509_certificates": {"security/certificates.py"},
    "load_pem_private_key": {"security/certificates.py"},
    "load_pem_x509_certificate": set(),
    "load_cert_chain": {"security/handshake.py"},  # a probe of its own, which says why gRPC failed with these files
    "load_verify_locations": set(),
    "splitport": set(),
    "urlsplit": set(),
    "urlparse": set(),
}
"""Calls that read a moment, PEM or an address, and the modules that may."""
COLONS = {
    "addr.py": "HOST:PORT",
    "agent/event_handlers.py": "KIND:NAME of --event-handler",
    "cli/commands/check.py": "WARN:CRIT, each side read by proglog.quantities",
    "cli/commands/losses.py": "ORIGIN before a RANGE",
    "cli/ranges.py": "START:END",
    "server/connections.py": "the kind of address before one that gRPC wrote",
}
"""Modules that cut text at a colon, and at which one."""
NUMBERS = {
    "cli/commands/produce.py": "--acks, which may be a word",
    "cli/commands/segments.py": "--verify, which may be a word",
    "cli/front.py": "COLUMNS",
    "cli/options.py": "a number that is one already, from a profile",
    "cli/templates.py": "the width of a field",
    "cli/web.py": "a page's size, as a browser sends it",
}
"""Modules of the command line that read a whole number without a unit from text, and which."""


@dataclass(frozen=True)
class Source:
    """What the tests look at of a module."""

    name: str
    calls: list[tuple[str, ast.Call]]
    sentences: list[str]


@functools.cache
def sources() -> list[Source]:
    """Return every module of the package, read once."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if "api" not in path.parts:
            nodes = list(ast.walk(ast.parse(path.read_text())))
            calls = [(_name(node), node) for node in nodes if isinstance(node, ast.Call)]
            sentences = [ast.unparse(node) for node in nodes if isinstance(node, ast.JoinedStr)]
            found.append(Source(str(path.relative_to(PACKAGE)), calls, sentences))
    return found


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_no_sentence_writes_a_range_by_hand() -> None:
    by_hand = {
        (source.name, each)
        for source in sources()
        for each in source.sentences
        if RANGE_IN_WORDS.search(each) and source.name != "types.py"
    }
    assert by_hand == set()


def test_one_module_reads_moments_certificates_and_addresses() -> None:
    for name, modules in PARSERS.items():
        assert {source.name for source in sources() for called, _ in source.calls if called == name} == modules, name


def test_text_is_cut_at_a_colon_where_the_list_says() -> None:
    found = {
        source.name
        for source in sources()
        for name, call in source.calls
        if name in CUTS and call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == ":"
    }
    assert found == set(COLONS)


def test_the_command_line_reads_numbers_where_the_list_says() -> None:
    found = {
        source.name
        for source in sources()
        for name, call in source.calls
        if name in ("int", "float")
        and source.name.startswith("cli/")
        and call.args
        and TYPED.fullmatch(ast.unparse(call.args[0]))
    }
    assert found == set(NUMBERS)
