"""What the command line answers without a verb: the greeting, the help, the version, and a verb that does not exist.

It does not import Typer, which takes longer than everything here.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from proglog import __version__
from proglog.cli.exit_codes import SHORT
from proglog.cli.verbs import VERBS

if TYPE_CHECKING:
    from pathlib import Path

GREETING = f"""proglog {__version__} - a distributed commit log that you can run, see and trust from a terminal

  proglog demo               three agents, a real file, the dashboard: try it all
  proglog serve              run an agent here
  seq 1000 | proglog produce     append a record a line
  proglog consume            read them back
  proglog dash               watch it

  proglog --help             every verb
  proglog VERB --help        a verb's arguments and flags
  proglog help               ranges, formats, variables, exit codes
"""

HELP = f"""A distributed commit log, run from a terminal.

Data goes to stdout, everything else to stderr. Every flag can also be set by PROGLOG_<FLAG>.

Exit codes: {", ".join(f"{code.value} {text}" for code, text in SHORT.items())}."""

_OPTIONS = {"--version": "Print the version and exit", "-h, --help": "Show this message and exit."}
_WIDEST = 100
_LIBRARIES = ("grpcio", "protobuf", "typer", "textual")
_ALIKE = 0.6
_MAX_SHOWN = 60


def answer(arguments: Sequence[str]) -> int | None:
    """Answer a command line that needs no verb, and return its exit code; ``None``: it needs one."""
    match list(arguments):
        case []:
            sys.stdout.write(GREETING)
        case ["--help" | "-h", *_]:
            sys.stdout.write(help_text() + "\n")
        case ["--version", *_]:
            sys.stdout.write(version_text())
        case [word, *_] if word not in VERBS:
            sys.stderr.write(_unknown(word))
            return 2
        case [verb, *rest] if (refusal := _refusal(verb, rest)) is not None:
            sys.stderr.write(refusal)
            return 3 if verb == "check" else 2  # to monitoring, 2 would be critical
        case _:
            return None
    return 0


def help_text() -> str:
    """Return the root's help, as wide as the terminal, at most 100 cells."""
    width = min(_columns(), _WIDEST) - 2
    about = "\n\n".join(_filled(paragraph, width) for paragraph in HELP.split("\n\n"))
    sections = (_section("Options", _OPTIONS, width), _section("Verbs", VERBS, width))
    return "\n\n".join(("Usage: proglog [OPTIONS] COMMAND [ARGS]...", about, *sections))


def version_text() -> str:
    """Return the version, what it runs on, and where its files are."""
    from pathlib import Path

    commit = _commit(Path(__file__).resolve().parents[2])
    found = dict(_versions(_LIBRARIES))
    libraries = ", ".join(f"{name} {found[name]}" for name in _LIBRARIES if name in found)
    lines = [
        f"proglog {__version__}" + (f" (commit {commit})" if commit else ""),
        f"Python {sys.version.split()[0]}, {libraries}",
        *(f"{what} {where}" for what, where in places().items()),
    ]
    return "\n".join(lines) + "\n"


def places() -> "dict[str, Path]":
    """Return where this user's files are, by what they hold (XDG base directory specification)."""
    from pathlib import Path

    def base(variable: str, default: str) -> Path:
        return Path(os.environ.get(variable) or Path("~").expanduser() / default) / "proglog"

    return {
        "data": base("XDG_DATA_HOME", ".local/share"),
        "config": base("XDG_CONFIG_HOME", ".config"),
        "reports": base("XDG_STATE_HOME", ".local/state"),
    }


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the closest match for ``word`` among ``known``; empty: none is close."""
    import difflib

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=_ALIKE)
    return found[0] if found else ""


def _refusal(verb: str, words: Sequence[str]) -> str | None:
    """Return what is wrong with a verb's flags, as far as their names and fixed choices tell; ``None``: nothing."""
    from proglog.cli.flag_names import CHOICES, FLAGS

    if verb == "config" or not any(word.startswith("-") for word in words):
        return None
    takes = {name.rstrip("="): name.endswith("=") for name in FLAGS[verb].split()}
    left = iter(words)
    for word in left:
        if word == "--":
            return None
        name, equals, value = word.partition("=")
        short = word[:2]
        if word.startswith("--"):
            if name not in takes and name != "--help":
                return _no_flag(verb, name, takes)
        elif takes.get(short) and word != short:  # as in -n5
            name, equals, value = short, "=", word[2:]
        if takes.get(name) and not equals:
            value = next(left, None) or ""
        choices = CHOICES.get((verb, name)) or CHOICES.get(("", name), ())
        if choices and value and value.lower() not in choices:
            return _no_choice(name, value, choices)
    return None


def _no_flag(verb: str, name: str, known: Iterable[str]) -> str:
    meant = nearest(name, [each for each in known if each.startswith("--")])
    hint = f"did you mean {meant}?" if meant else f"`proglog {verb} --help` lists its flags"
    return f"error: {verb} has no such option as {_shown(name)}\nhint: {hint}\n"


def _no_choice(flag: str, value: str, choices: Sequence[str]) -> str:
    meant = nearest(value, choices)
    hint = f"hint: did you mean {meant}?\n" if meant else ""
    return f"error: {flag} {_shown(value)}: expected {', '.join(choices[:-1])} or {choices[-1]}\n{hint}"


def is_example(paragraph: str) -> bool:
    """Return whether a paragraph of a verb's help is nothing but command lines."""
    lines = [line.strip() for line in paragraph.strip("\n").splitlines()]
    return bool(lines) and all(line.startswith("proglog ") or " | proglog " in line for line in lines)


def examples(text: str) -> list[str]:
    """Return the command lines in a verb's help."""
    found = filter(is_example, text.replace("\b\n", "").split("\n\n"))
    return [line.strip() for paragraph in found for line in paragraph.strip().splitlines()]


def indented(paragraph: str) -> str:
    """Return command lines as examples in a help."""
    return "\n".join(f"    {line.strip()}" for line in paragraph.strip().splitlines())


def _unknown(word: str) -> str:
    what = "flag before a verb" if word.startswith("-") else "verb"
    meant = nearest(word, [*VERBS, "--help", "--version"])
    hint = f"did you mean `proglog {meant}`?" if meant else "`proglog --help` lists the verbs"
    return f"error: {_shown(word)} is no {what}\nhint: {hint}\n"


def _shown(word: str) -> str:
    """Return a word of the command line as it can be printed."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in word[:_MAX_SHOWN])


def _section(title: str, rows: dict[str, str], width: int) -> str:
    import textwrap

    indent = max(map(len, rows)) + 4
    lines = [
        textwrap.fill(
            text,
            width,
            initial_indent=f"  {name}".ljust(indent),
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
        for name, text in rows.items()
    ]
    return f"{title}:\n" + "\n".join(lines)


def filled(text: str) -> str:
    """Return a text as wide as the terminal; paragraphs with indented lines are left as they are."""
    import textwrap

    width = min(_columns(), _WIDEST)
    return "\n\n".join(
        part if part.startswith("  ") or "\n  " in part else textwrap.fill(part, width, break_on_hyphens=False)
        for part in text.split("\n\n")
    )


def _filled(paragraph: str, width: int) -> str:
    import textwrap

    return textwrap.fill(paragraph, width, initial_indent="  ", subsequent_indent="  ")


def _columns() -> int:
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def _commit(root: "Path") -> str:
    """Return the commit that a checkout is at; empty: this is none."""
    from pathlib import Path

    git = root / ".git"
    try:
        if git.is_file():  # a worktree
            git = Path(git.read_text().removeprefix("gitdir:").strip())
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        name = head.removeprefix("ref: ")
        shared = git / (git / "commondir").read_text().strip() if (git / "commondir").is_file() else git
        if (shared / name).is_file():
            return (shared / name).read_text().strip()[:12]
        packed = (shared / "packed-refs").read_text().splitlines()
        return next((line.split()[0][:12] for line in packed if line.endswith(f" {name}")), "")
    except OSError:
        return ""


def _versions(names: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Yield the installed versions of libraries, by the names of their metadata: reading those takes ten times longer."""
    from pathlib import Path

    for place in map(Path, sys.path):
        for path in place.glob("*.dist-info") if place.is_dir() else ():
            name, _, version = path.name.removesuffix(".dist-info").partition("-")
            if name in names:
                yield name, version
