"""How this program starts itself: as ``python -m proglog``, also from a zipapp, which a new interpreter would not search."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from zipfile import is_zipfile


def command(module: str = "proglog") -> list[str]:
    """Return what starts a module of this program, to be followed by its arguments."""
    return [sys.executable, "-m", module]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return ``variables`` with what the new process needs to find this program.

    A zipapp (shiv, pex) puts its packages on the path of its own process only.
    """
    if not _in_zipapp():
        return dict(variables)
    return {**variables, "PYTHONPATH": os.pathsep.join(str(Path(part).absolute()) for part in sys.path if part)}


def _in_zipapp() -> bool:
    return bool(sys.argv) and is_zipfile(sys.argv[0])
