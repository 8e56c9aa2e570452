"""Names that completion offers: verbs leave those that they saw in files, and a TAB reads these.

A file for each kind in ``$XDG_CACHE_HOME/proglog``, a name a line. It is a convenience: what cannot be written is left.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

KINDS = ("members", "positions", "profiles")
MAX_NAMES = 1_000


def directory() -> Path:
    """Return where the files are (XDG base directory specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "proglog"


def remember(kind: str, names: Iterable[str]) -> None:
    """Keep the names of a kind, instead of those that were known; none with a line feed or control character."""
    known = sorted({name for name in names if name and name.isprintable()})[:MAX_NAMES]
    text = "".join(f"{name}\n" for name in known)
    path = directory() / kind
    with suppress(OSError, UnicodeError):  # completion knows less then, and nothing else changes
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{kind}.{os.getpid()}")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
