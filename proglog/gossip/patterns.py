"""Regular expressions that came from others, matched in linear time.

A query's tag filter is a program that another node chose. Serf writes it for Go's engine, which is RE2: no
backtracking, no back references. The same engine runs it here, so a filter means and costs the same as in Go.

Source: Cox 2007, "Regular Expression Matching Can Be Simple And Fast"; Go's ``regexp/syntax``.
"""

from proglog.gossip.errors import MalformedMessageError

MAX_PATTERN_BYTES = 1024
_MAX_COMPILED_BYTES = 256 * 1024


def matches(pattern: str, value: str) -> bool:
    """Return whether ``pattern`` is found anywhere in ``value``.

    Raises:
        MalformedMessageError: It is longer than ``MAX_PATTERN_BYTES``, too large once compiled, or no RE2 expression.
    """
    import re2  # 50 ms that a node without such queries need not pay

    options = re2.Options()
    options.max_mem = _MAX_COMPILED_BYTES
    options.log_errors = False
    options.never_capture = True
    try:
        if len(pattern.encode()) > MAX_PATTERN_BYTES:
            raise MalformedMessageError(f"a tag filter has at most {MAX_PATTERN_BYTES:,} bytes")
        text = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return re2.search(pattern, text, options) is not None
    except (re2.error, UnicodeError) as exc:
        raise MalformedMessageError(f"a tag filter that RE2 does not understand: {exc}") from exc
