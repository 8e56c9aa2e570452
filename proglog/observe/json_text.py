"""JSON laid out anew, text for text: every name, number, string and repetition stays as its producer wrote it.

A parser that writes what it read changes numbers, drops repeated names and sorts escapes; a reader who looks for what was
sent must not be shown that. Only blanks between tokens are taken away and put in.
"""

import json
import re

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def is_json(text: str) -> bool:
    """Return whether ``text`` is an object or a list; what nests too deeply is not looked at."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def compact(text: str) -> str:
    """Return JSON without blanks between its tokens."""
    return "".join(_TOKEN.findall(text))


def indented(text: str, indent: int = 2) -> list[str]:
    """Return JSON as lines, a name or an item on each."""
    lines: list[str] = []
    current, depth, before = "", 0, ""
    for part in _TOKEN.findall(text):
        if part in "]}":
            depth -= 1
            if before not in ("[", "{"):
                lines.append(current)
                current = " " * (indent * depth)
        elif before in ("[", "{", ","):
            lines.append(current)
            current = " " * (indent * depth)
        current += part + (" " if part == ":" else "")
        depth += part in ("[", "{")
        before = part
    return [*lines, current]
