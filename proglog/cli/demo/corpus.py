"""A real file to send: every line of the sources of Python's own standard library, or the user's."""

import sysconfig
from pathlib import Path


def write_standard_library(path: Path) -> None:
    """Write every line of the standard library's ``.py`` files, tests left out, to ``path``."""
    root = Path(sysconfig.get_path("stdlib"))
    with path.open("wb") as out:
        for source in sorted(root.rglob("*.py")):
            if {"site-packages", "dist-packages"} & set(source.parts):
                continue
            data = source.read_bytes()
            out.write(data if data.endswith(b"\n") or not data else data + b"\n")
