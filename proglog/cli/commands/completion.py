"""Print the completion script of a shell: bash, zsh or fish.

For bash: proglog completion bash > ~/.local/share/bash-completion/completions/proglog
"""

from typing import Annotated

import typer

from proglog.cli import output
from proglog.cli.completion import SHELLS, script
from proglog.cli.serve_config import choice


def main(shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="Which shell")]) -> None:
    output.line(script(choice("SHELL", shell, SHELLS)).rstrip())
