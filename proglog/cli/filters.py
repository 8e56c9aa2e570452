"""Which records ``consume`` writes: by key, header, origin and content. All that are given must agree."""

import os
from collections.abc import Sequence
from typing import Any

from proglog.cli.render import Keep
from proglog.errors import ConfigError
from proglog.record.record import StoredRecord


def keep(
    *, keys: Sequence[str] = (), headers: Sequence[str] = (), origins: Sequence[bytes] = (), grep: str = ""
) -> Keep | None:
    """Return whether a record is wanted; ``None``: every one is.

    Args:
        keys: Shell patterns; the key must match one.
        headers: ``NAME=PATTERN`` or ``NAME``: all must be there.
        origins: Heads of origins; it must be of one.
        grep: A regular expression in RE2 syntax, found anywhere in the value.

    Raises:
        ConfigError: A pattern is none.
    """
    tests: list[Keep] = []
    if keys:
        tests.append(_key(keys))
    tests += map(_header, headers)
    if origins:
        tests.append(lambda record: record.origin.startswith(tuple(origins)))
    if grep:
        pattern = _compiled("--grep", grep)
        tests.append(lambda record: pattern.search(record.value) is not None)
    if not tests:
        return None
    return tests[0] if len(tests) == 1 else lambda record: all(test(record) for test in tests)


def _key(patterns: Sequence[str]) -> Keep:
    compiled = [_shell("--key", each) for each in patterns]
    return lambda record: record.key is not None and any(each.search(record.key) for each in compiled)


def _header(text: str) -> Keep:
    name, equals, value = text.partition("=")
    if not name:
        raise ConfigError(f"--header {text!r:.80}: expected NAME or NAME=PATTERN")
    pattern = _shell("--header", value if equals else "*")

    def test(record: StoredRecord) -> bool:
        return any(head == name and pattern.search(found) for head, found in record.headers)

    return test


def _shell(flag: str, pattern: str) -> Any:
    """Return a shell pattern compiled: ``*`` is any bytes, ``?`` a character."""
    parts = {"*": r"\C*", "?": "."}
    return _compiled(flag, "(?s)^" + "".join(parts.get(char) or _quoted(char) for char in pattern) + "$")


def _quoted(char: str) -> str:
    return char if char.isalnum() or not char.isascii() else f"\\x{{{ord(char):x}}}"


def _compiled(flag: str, pattern: str) -> Any:
    import re2  # linear time, whatever the records hold

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(os.fsencode(pattern), options)
    except (re2.error, UnicodeError) as exc:
        raise ConfigError(f"{flag} {pattern!r:.80} is no regular expression that RE2 knows: {_reason(exc)}") from exc


def _reason(exc: Exception) -> str:
    said = exc.args[0] if exc.args else exc
    return said.decode("utf-8", "backslashreplace") if isinstance(said, bytes) else str(said)
