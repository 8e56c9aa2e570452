"""Write completions/ from the command tree: `make completions`."""

from pathlib import Path

from proglog.cli.completion import script

NAMES = {"bash": "proglog.bash", "zsh": "_proglog", "fish": "proglog.fish"}

if __name__ == "__main__":
    for shell, name in NAMES.items():
        (Path(__file__).parents[1] / "completions" / name).write_text(script(shell))
