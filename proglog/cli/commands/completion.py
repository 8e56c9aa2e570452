"""Print the completion script of a shell: bash, zsh or fish.

Without SHELL, list them, with the file that each reads its scripts from.

    proglog completion
    proglog completion bash > proglog.bash
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from proglog.cli import options, output
from proglog.cli.output import Format, Table
from proglog.cli.serve_config import choice
from proglog.cli.shapes import Shape
from proglog.observe.columns import Column


@dataclass(frozen=True, slots=True)
class ShellShape:
    """A shell that has a completion script."""

    shell: str
    file: str
    """Where the shell reads a user's scripts from."""


SHELLS_SHAPE = Shape("completion", ShellShape, identity=("shell",))
SHAPES = (SHELLS_SHAPE,)
FILES = {
    "bash": "~/.local/share/bash-completion/completions/proglog",
    "zsh": "~/.zfunc/_proglog",
    "fish": "~/.config/fish/completions/proglog.fish",
}
PLACES = {
    "bash": ("completions/proglog.bash", "bash-completion/completions/proglog"),
    "zsh": ("completions/_proglog", "zsh/site-functions/_proglog"),
    "fish": ("completions/proglog.fish", "fish/vendor_completions.d/proglog.fish"),
}
"""Of the scripts, in a checkout and where the wheel puts them."""
LISTED: Table[ShellShape] = Table(
    columns=(
        Column(title="SHELL", value=lambda each: each.shell),
        Column(title="FILE", value=lambda each: each.file, limit=100),
    ),
    shape=SHELLS_SHAPE,
)


def main(
    shell: Annotated[str, typer.Argument(metavar="[bash|zsh|fish]", help="Which shell; default: list them")] = "",
    output_: options.Output = Format.TABLE,
) -> None:
    if not shell:
        output.items([ShellShape(*each) for each in FILES.items()], LISTED, output_)
        return
    output.line(_script(choice("SHELL", shell, FILES)).rstrip())


def _script(shell: str) -> str:
    """Return the committed script; from the command tree where the package came without it."""
    for root in (Path(__file__).resolve().parents[3], Path(sys.prefix) / "share"):
        for name in PLACES[shell]:
            if (root / name).is_file():
                return (root / name).read_text(encoding="utf-8")
    from proglog.cli.completion import script

    return script(shell)
