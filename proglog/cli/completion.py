"""Completion scripts, made from the command tree: plain shell, so that a TAB starts no process.

They are committed in ``completions/`` and installed with the package; ``make completions`` makes them anew and a test
compares.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from proglog.cli.app import Verbs, app
from proglog.cli.verbs import VERBS

CHOICES = {
    "--output": ("table", "json", "jsonl", "plain"),
    "-o": ("table", "json", "jsonl", "plain"),
    "--fsync": ("always", "interval", "os"),
    "--log-level": ("debug", "info", "warning", "error"),
}
FILE_VERBS = ("produce",)
SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class _Flag:
    names: tuple[str, ...]
    help: str
    takes: str
    """``nothing``, ``file``, ``choice`` or ``text``."""
    choices: tuple[str, ...] = ()


def script(shell: str) -> str:
    """Return the completion script of ``bash``, ``zsh`` or ``fish``."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](_tree())


def _tree() -> dict[str, list[_Flag]]:
    import typer

    group = typer.main.get_command(app)
    assert isinstance(group, Verbs)  # the root is made of it
    return {verb: [_flag(verb, parameter) for parameter in _options(group.get_command(None, verb))] for verb in VERBS}


def _options(command: Any) -> Iterable[Any]:
    return [parameter for parameter in command.params if parameter.param_type_name == "option"]


def _flag(verb: str, option: Any) -> _Flag:
    names = tuple(option.opts)
    choices = next((CHOICES[name] for name in names if name in CHOICES), ())
    if verb == "check" and "--output" in names:
        choices = ("text", "json", "nagios", "prometheus")
    if verb in ("produce", "consume") and "--format" in names:
        choices = ("line", "null", "json")
    if option.is_flag:
        takes = "nothing"
    elif choices:
        takes = "choice"
    else:
        takes = "file" if option.metavar == "FILE" or "--data-dir" in names else "text"
    return _Flag(names, (option.help or "").replace("'", ""), takes, choices)


def _bash(tree: dict[str, list[_Flag]]) -> str:
    verbs = " ".join(VERBS)
    flags = "\n".join(
        f"        {verb}) flags='{' '.join(name for flag in options for name in flag.names)} --help' ;;"
        for verb, options in tree.items()
    )
    values = {
        name: flag for options in tree.values() for flag in options for name in flag.names if flag.takes != "nothing"
    }
    cases = []
    for choices in dict.fromkeys(flag.choices for flag in values.values() if flag.takes == "choice"):
        names = "|".join(dict.fromkeys(name for name, flag in values.items() if flag.choices == choices))
        cases.append(f"        {names}) COMPREPLY=($(compgen -W '{' '.join(choices)}' -- \"$current\")); return ;;")
    for takes, reply in (("file", '($(compgen -f -- "$current"))'), ("text", "()")):
        names = "|".join(name for name, flag in values.items() if flag.takes == takes)
        cases.append(f"        {names}) COMPREPLY={reply}; return ;;")
    return f"""# bash completion for proglog. Generated: `make completions`.
_proglog() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} verb= word flags=
    COMPREPLY=()
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in -*) ;; *) verb=$word; break ;; esac
    done
    case $previous in
{chr(10).join(cases)}
    esac
    case $verb in
        '') COMPREPLY=($(compgen -W '{verbs} --help --version' -- "$current")); return ;;
        completion) COMPREPLY=($(compgen -W '{" ".join(SHELLS)}' -- "$current")); return ;;
{flags}
    esac
    case $current in
        -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
        *) case $verb in {"|".join(FILE_VERBS)}) COMPREPLY=($(compgen -f -- "$current")) ;; esac ;;
    esac
}}
complete -o filenames -F _proglog proglog
"""


def _zsh(tree: dict[str, list[_Flag]]) -> str:
    verbs = "\n".join(f"        '{verb}:{_zsh_text(text)}'" for verb, text in VERBS.items())
    cases = "\n".join(
        f"        {verb}) _arguments -s -S{_zsh_flags(verb, options)} ;;" for verb, options in tree.items()
    )
    return f"""#compdef proglog
# zsh completion for proglog. Generated: `make completions`.
_proglog() {{
    local context state state_descr line
    typeset -A opt_args
    local -a verbs=(
{verbs}
    )
    _arguments -C '--version[print the version]' '--help[show help]' '1: :->verb' '*:: :->rest'
    case $state in
    verb) _describe -t commands 'verb' verbs ;;
    rest)
        case $words[1] in
{cases}
        esac ;;
    esac
}}
_proglog "$@"
"""


def _zsh_flags(verb: str, flags: list[_Flag]) -> str:
    parts = []
    for flag in flags:
        values = {
            "nothing": "",
            "file": ":file:_files",
            "choice": f":value:({' '.join(flag.choices)})",
            "text": ":value: ",
        }[flag.takes]
        parts += [f"'{name}[{_zsh_text(flag.help)}]{values}'" for name in flag.names]
    if verb in FILE_VERBS:
        parts.append("'*:file:_files'")
    if verb == "completion":
        parts.append(f"'1:shell:({' '.join(SHELLS)})'")
    return "".join(f" \\\n            {part}" for part in [*parts, "'--help[show help]'"])


def _zsh_text(text: str) -> str:
    return text.replace("'", "").replace(":", "\\:").replace("[", "(").replace("]", ")")


def _fish(tree: dict[str, list[_Flag]]) -> str:
    lines = [
        "# fish completion for proglog. Generated: `make completions`.",
        "complete -c proglog -f",
        "complete -c proglog -n __fish_use_subcommand -l version -d 'Print the version'",
    ]
    lines += [
        f"complete -c proglog -n __fish_use_subcommand -a {verb} -d '{_fish_text(text)}'"
        for verb, text in VERBS.items()
    ]
    for verb, flags in tree.items():
        when = f"complete -c proglog -n '__fish_seen_subcommand_from {verb}'"
        for flag in flags:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names)
            values = {"nothing": "", "file": " -r -F", "choice": f" -x -a '{' '.join(flag.choices)}'", "text": " -x"}
            lines.append(f"{when} {names}{values[flag.takes]} -d '{_fish_text(flag.help)}'")
        if verb in FILE_VERBS:
            lines.append(f"{when} -F")
        if verb == "completion":
            lines.append(f"{when} -a '{' '.join(SHELLS)}'")
    return "\n".join(lines) + "\n"


def _fish_text(text: str) -> str:
    return text.replace("'", "")
