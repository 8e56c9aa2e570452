"""Write man/*.1 from the command tree: `make docs`."""

import re
from pathlib import Path

import typer

from proglog.cli.app import Verbs, app
from proglog.cli.exit_codes import MEANINGS
from proglog.cli.front import HELP, examples, is_example
from proglog.cli.verbs import VERBS

TARGET = Path(__file__).resolve().parents[1] / "man"


def pages() -> dict[str, str]:
    """Return the pages by file name: one of the command, and one of each verb."""
    group = typer.main.get_command(app)
    assert isinstance(group, Verbs)  # the root is made of it
    verbs = "".join(f".TP\n.B {_text(verb)}\n{_text(help_)}\n" for verb, help_ in VERBS.items())
    codes = "".join(f".TP\n.B {code.value}\n{_text(meaning)}\n" for code, meaning in MEANINGS.items())
    head = (
        _head("proglog", "a distributed commit log that one person can run, see and trust from a terminal")
        + ".SH SYNOPSIS\n.B proglog\n.I VERB\n[\\fIoptions\\fR]\n"
        + f".SH DESCRIPTION\n{_paragraphs(HELP.split('Exit codes')[0])}"
        + f".SH VERBS\nEach has a page of its own, such as\n.BR proglog\\-serve (1).\n{verbs}"
        + f".SH EXIT STATUS\n{codes}"
    )
    return {"proglog.1": head} | {f"proglog-{verb}.1": _page(group, verb, help_) for verb, help_ in VERBS.items()}


def _page(group: Verbs, verb: str, help_: str) -> str:
    command = group.get_command(None, verb)
    arguments = [part.metavar for part in command.params if part.param_type_name == "argument"]
    usage = "".join(f" \\fI{_text(name)}\\fR" for name in arguments)
    page = _head(f"proglog-{verb}", help_.rstrip(".").lower()[:1] + help_.rstrip(".")[1:])
    page += f".SH SYNOPSIS\n.B proglog {_text(verb)}\n[\\fIoptions\\fR]{usage}\n"
    page += f".SH DESCRIPTION\n{_paragraphs(command.help or '')}"
    options = "".join(map(_option, (part for part in command.params if part.param_type_name != "argument")))
    return page + (f".SH OPTIONS\n{options}" if options else "") + ".SH SEE ALSO\n.BR proglog (1)\n"


def _option(option: typer.core.TyperOption) -> str:
    takes = "" if option.is_flag else f" \\fI{_text(option.metavar or option.type.name.upper())}\\fR"
    names = ", ".join(f"\\fB{_text(name)}\\fR" for name in option.opts)
    variable = f" Also the variable {option.envvar}." if option.envvar else ""
    says = (option.help or "").strip().rstrip(".")
    return f".TP\n{names}{takes}\n{_text(says + '.' + variable)}\n"


def _head(name: str, what: str) -> str:
    return f".TH {name.upper()} 1\n.SH NAME\n{_text(name)} \\- {_text(what)}\n"


def _paragraphs(text: str) -> str:
    parts = [part for part in re.split(r"\n\s*\n", text.replace("\b\n", "").strip("\n")) if part.strip()]
    return "".join(
        f".PP\n.nf\n{_text(chr(10).join(examples(part)))}\n.fi\n"
        if is_example(part)
        else f".PP\n{_text(' '.join(part.split()))}\n"
        for part in parts
    )


def _text(text: str) -> str:
    """Return text in which nothing is a request or an escape."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in text.splitlines())


if __name__ == "__main__":
    TARGET.mkdir(exist_ok=True)
    for stale in set(TARGET.glob("*.1")) - {TARGET / name for name in pages()}:
        stale.unlink()
    for name, page in pages().items():
        (TARGET / name).write_text(page)
