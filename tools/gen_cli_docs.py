"""Write docs/reference/cli.md and the list of variables from the command tree: `make docs`."""

import subprocess
import sys
from pathlib import Path

import typer

from proglog.cli.app import Verbs, app
from proglog.cli.exit_codes import MEANINGS
from proglog.cli.front import HELP, examples, is_example
from proglog.cli.variables import options
from proglog.cli.verbs import VERBS

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference" / "cli.md"
FLAGS = ROOT / "proglog" / "cli" / "flag_names.py"
NAMES = ROOT / "proglog" / "cli" / "variable_names.py"


def page() -> str:
    """Return the page."""
    group = typer.main.get_command(app)
    assert isinstance(group, Verbs)  # the root is made of it
    codes = "\n".join(f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())
    head = f"# The command line\n\nGenerated from the command tree by `make docs`.\n\n{HELP.split('Exit codes')[0].strip()}\n"
    return f"{head}\n## Exit codes\n\n| code | |\n|---|---|\n{codes}\n" + "".join(_verb(group, verb) for verb in VERBS)


def _verb(group: Verbs, verb: str) -> str:
    command = group.get_command(None, verb)
    rows = []
    arguments = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            arguments.append(parameter.metavar)
            continue
        names = ", ".join(f"`{name}`" for name in parameter.opts)
        takes = "" if parameter.is_flag else f" {parameter.metavar or parameter.type.name.upper()}"
        shown = parameter.show_default if isinstance(parameter.show_default, str) else _default(parameter.default)
        rows.append(f"| {names}{takes} | {parameter.help} | {shown} | {parameter.envvar or ''} |\n")
    usage = " ".join(["proglog", verb, *arguments])
    table = "| flag | | default | variable |\n|---|---|---|---|\n" + "".join(rows)
    return f"\n## {verb}\n\n`{usage}`\n\n{_help(command.help)}\n\n{_escape(table)}"


def _help(text: str) -> str:
    """Return a verb's help as Markdown: its examples are a block."""
    parts = [
        "```sh\n" + "\n".join(examples(each)) + "\n```" if is_example(each) else each
        for each in text.replace("\b\n", "").strip().split("\n\n")
    ]
    return "\n\n".join(parts)


def _escape(table: str) -> str:
    """Keep the bars inside metavars from ending their cell."""
    lines = []
    for line in table.replace("\\|", "|").splitlines():
        cells = line.split(" | ")
        lines.append(
            " | ".join(
                cell if cell.strip("|- ") == "" else cell[:1] + cell[1:-1].replace("|", "\\|") + cell[-1:]
                for cell in cells
            )
        )
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    return "" if value in (None, False, "") else f"`{getattr(value, 'value', value)}`"


def names() -> str:
    """Return the module that lists the variables of all flags."""
    group = typer.main.get_command(app)
    assert isinstance(group, Verbs)  # the root is made of it
    found = sorted({option.envvar for verb in VERBS for option in options(group.get_command(None, verb))})
    listed = "".join(f'        "{name}",\n' for name in found)
    return f'"""The variables of all flags of all verbs. Generated: `make docs`."""\n\nNAMES = frozenset(\n    {{\n{listed}    }}\n)\n'


def flags() -> str:
    """Return the module that lists the flags of each verb, for what is answered before Typer is imported."""
    group = typer.main.get_command(app)
    assert isinstance(group, Verbs)  # the root is made of it
    lines, choices = [], {}
    for verb in VERBS:
        names = []
        for option in options(group.get_command(None, verb)):
            names += [name + ("" if option.is_flag else "=") for name in (*option.opts, *option.secondary_opts)]
            fixed = tuple(each.lower() for each in getattr(option.type, "choices", ()))
            choices |= {(verb, name): fixed for name in option.opts if fixed}
        lines.append(f"    {verb!r}: {' '.join(names)!r},\n")
    fixed = "".join(f"    {key!r}: {value!r},\n" for key, value in choices.items())
    return (
        '"""The flags of each verb, those that take a value with ``=``, and fixed choices. Generated: `make docs`."""\n\n'
        f"FLAGS = {{\n{''.join(lines)}}}\nCHOICES: dict[tuple[str, str], tuple[str, ...]] = {{\n{fixed}}}\n"
    )


if __name__ == "__main__":
    subprocess.run(
        [sys.executable, "-m", "ruff", "format", "-q", "-"],
        input=flags(),
        text=True,
        check=True,
        stdout=FLAGS.open("w"),
    )
    TARGET.write_text(page())
    NAMES.write_text(names())
