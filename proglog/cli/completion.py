"""Completion scripts, made from the command tree: plain shell, so that a TAB starts no process.

They are committed in ``completions/`` and installed with the package; ``make completions`` makes them anew and a test
compares. Names of members, positions and profiles come from files that verbs leave in the cache directory
(:mod:`proglog.cli.names`): a TAB asks no agent.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from proglog.cli.app import Verbs, app
from proglog.cli.names import KINDS
from proglog.cli.ranges import WORDS
from proglog.cli.topics import TOPICS
from proglog.cli.verbs import VERBS

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class Value:
    """What a flag or an argument takes."""

    kind: str
    """``nothing``, ``words``, ``file``, ``directory``, ``range``, ``text``, or a kind of names."""
    words: tuple[str, ...] = ()


NOTHING, FILE, DIRECTORY, RANGE, TEXT = map(Value, ("nothing", "file", "directory", "range", "text"))
MEMBERS, POSITIONS, PROFILES = map(Value, KINDS)
FLAGS = {"--profile": PROFILES, "--as": POSITIONS, "--node": MEMBERS, "--origin": MEMBERS, "--data-dir": DIRECTORY}
"""Flags of which the command tree does not say enough."""
ACTIONS = ("produce", "consume", "describe", "observe", "replicate", "operate")
ARGUMENTS: Mapping[str, tuple[Value, ...]] = {
    "acl": (TEXT, Value("words", ACTIONS)),
    "backup": (DIRECTORY, DIRECTORY),
    "bench": (Value("words", ("all", "produce", "consume", "replicate", "e2e", "compare")), FILE, FILE),
    "certs": (DIRECTORY,),
    "completion": (Value("words", SHELLS),),
    "config": (Value("words", tuple(VERBS)),),
    "consume": (RANGE,),
    "copies": (RANGE,),
    "doctor": (DIRECTORY,),
    "event": (TEXT, TEXT),
    "force-leave": (MEMBERS,),
    "help": (Value("words", (*TOPICS, *VERBS)),),
    "join": (TEXT,),
    "keys": (Value("words", ("generate", "list", "install", "use", "remove")), TEXT),
    "losses": (Value("words", ("list", "accept", "export")), TEXT),
    "positions": (Value("words", ("list", "set", "delete")), POSITIONS, RANGE),
    "produce": (FILE,),
    "profile": (Value("words", ("list", "show", "create", "use", "edit", "remove")), PROFILES),
    "query": (TEXT, TEXT),
    "restore": (DIRECTORY, DIRECTORY),
    "rtt": (MEMBERS, MEMBERS),
    "segments": (RANGE,),
    "verify": (DIRECTORY, RANGE),
}
"""The arguments of each verb; the last one of ``produce`` repeats."""
_CHOICES = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class _Flag:
    names: tuple[str, ...]
    help: str
    value: Value


def script(shell: str) -> str:
    """Return the completion script of ``bash``, ``zsh`` or ``fish``."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](tree())


def tree() -> dict[str, list[_Flag]]:
    """Return the flags of every verb."""
    import typer

    group = typer.main.get_command(app)
    assert isinstance(group, Verbs)  # the root is made of it
    return {verb: [_flag(parameter) for parameter in _options(group.get_command(None, verb))] for verb in VERBS}


def _options(command: Any) -> Iterable[Any]:
    return [parameter for parameter in command.params if parameter.param_type_name == "option"]


def _flag(option: Any) -> _Flag:
    return _Flag(tuple(option.opts), (option.help or "").replace("'", ""), _value(option))


def _value(option: Any) -> Value:
    if option.is_flag:
        return NOTHING
    if known := next((FLAGS[name] for name in option.opts if name in FLAGS), None):
        return known
    if words := tuple(getattr(option.type, "choices", ())):
        return Value("words", words)
    metavar = option.metavar or ""
    if "|" in metavar and (words := tuple(filter(_CHOICES.fullmatch, metavar.split("|")))):
        return Value("words", words)
    if metavar == "DIR":
        return DIRECTORY
    return FILE if metavar == "FILE" or option.type.name in ("path", "file") else TEXT


# bash


def _bash(flags_of: dict[str, list[_Flag]]) -> str:
    by_action: dict[str, list[str]] = {}
    for verb, flags in flags_of.items():
        for flag in flags:
            if flag.value is not NOTHING:
                by_action.setdefault(_bash_action(flag.value), []).extend(f"{verb}:{name}" for name in flag.names)
    values = "\n".join(
        f"        {_folded('|'.join(names))}) {action}; return ;;" for action, names in by_action.items()
    )
    offered = "\n".join(
        f"        {verb}) _proglog_words '{' '.join(name for flag in each for name in flag.names)} --help' ;;"
        for verb, each in flags_of.items()
    )
    arguments = "\n".join(
        f"        {verb}:{'*' if verb == 'produce' else number}) {_bash_action(value)} ;;"
        for verb, taken in ARGUMENTS.items()
        for number, value in enumerate(taken)
        if value is not TEXT
    )
    ranges = " ".join(word for word in WORDS if not word.endswith(":"))
    return f"""# bash completion for proglog. Generated: `make completions`.
_proglog_words() {{
    local word
    for word in $1; do
        case $word in "$current"*) COMPREPLY+=("$word") ;; esac
    done
}}
_proglog_names() {{
    local name quoted file=${{XDG_CACHE_HOME:-$HOME/.cache}}/proglog/$1
    [ -r "$file" ] || return 0
    while IFS= read -r name; do
        case $name in "$current"*) printf -v quoted %q "$name"; COMPREPLY+=("$quoted") ;; esac
    done < "$file"
}}
_proglog_files() {{
    local name
    compopt -o filenames 2>/dev/null
    while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -A "$1" -- "$current")
}}
_proglog_ranges() {{
    compopt -o nospace 2>/dev/null
    _proglog_words '{ranges} {" ".join(word for word in WORDS if word.endswith(":"))}'
}}
_proglog() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} verb= word number=0 at
    COMPREPLY=()
    if [ "$previous" = : ] && [ "${{COMP_WORDS[COMP_CWORD-2]}}" = unread ]; then _proglog_names positions; return; fi
    if [ "$current" = : ] && [ "$previous" = unread ]; then current=; _proglog_names positions; return; fi
    if [ "$current" = = ]; then current=
    elif [ "$previous" = = ]; then previous=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    current=${{current#[\\"\\']}}
    current=${{current//\\\\/}}
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${{COMP_WORDS[at]}}
        case $word in
            -*) ;;
            *) if [ -z "$verb" ]; then verb=$word; else number=$((number + 1)); fi ;;
        esac
    done
    case $verb:$previous in
{values}
    esac
    case $current in
        -*) case $verb in
        '') _proglog_words '--help --version' ;;
{offered}
        esac; return ;;
    esac
    [ -n "$verb" ] || {{ _proglog_words '{" ".join(VERBS)} --help --version'; return; }}
    case $verb:$number in
{arguments}
    esac
}}
complete -F _proglog proglog
"""


def _bash_action(value: Value) -> str:
    match value.kind:
        case "words":
            return f"_proglog_words '{' '.join(value.words)}'"
        case "file" | "directory":
            return f"_proglog_files {value.kind}"
        case "range":
            return "_proglog_ranges"
        case "text":
            return ":"
    return f"_proglog_names {value.kind}"


def _folded(pattern: str, width: int = 110) -> str:
    """Return a pattern of many words over several lines."""
    lines = [""]
    for word in pattern.split("|"):
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f"{word}|"
    return "\\\n        ".join(lines)[:-1]


# zsh


def _zsh(flags_of: dict[str, list[_Flag]]) -> str:
    verbs = "\n".join(f"        '{verb}:{_zsh_text(text)}'" for verb, text in VERBS.items())
    cases = "\n".join(
        f"        {verb}) _arguments -s -S{_zsh_parts(verb, flags)} ;;" for verb, flags in flags_of.items()
    )
    return f"""#compdef proglog
# zsh completion for proglog. Generated: `make completions`.
_proglog_names() {{
    local file=${{XDG_CACHE_HOME:-$HOME/.cache}}/proglog/$1
    [[ -r $file ]] || return 1
    local -a names=("${{(@f)$(<$file)}}")
    compadd -- "${{names[@]}}"
}}
_proglog_ranges() {{
    compadd -S '' -- {" ".join(WORDS)}
    if [[ $PREFIX == unread:* ]]; then
        compset -P unread:
        _proglog_names positions
    fi
}}
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


def _zsh_parts(verb: str, flags: list[_Flag]) -> str:
    parts = []
    for flag in flags:
        takes = "" if flag.value is NOTHING else f":value:{_zsh_action(flag.value)}"
        parts += [f"'{name}[{_zsh_text(flag.help)}]{takes}'" for name in flag.names]
    for number, value in enumerate(ARGUMENTS.get(verb, ()), 1):
        place = "*" if verb == "produce" else str(number)
        parts.append(f"'{place}::argument:{_zsh_action(value)}'" if place != "*" else f"'*:file:{_zsh_action(value)}'")
    return "".join(f" \\\n            {part}" for part in [*parts, "'--help[show help]'"])


def _zsh_action(value: Value) -> str:
    match value.kind:
        case "words":
            return f"({' '.join(value.words)})"
        case "file":
            return "_files"
        case "directory":
            return "_files -/"
        case "range":
            return "_proglog_ranges"
        case "text":
            return " "
    return f"_proglog_names {value.kind}"


def _zsh_text(text: str) -> str:
    return text.replace("'", "").replace(":", "\\:").replace("[", "(").replace("]", ")")


# fish


def _fish(flags_of: dict[str, list[_Flag]]) -> str:
    lines = [
        "# fish completion for proglog. Generated: `make completions`.",
        "function __proglog_names",
        "    set -l cache $XDG_CACHE_HOME",
        '    test -n "$cache"; or set cache $HOME/.cache',
        "    test -r $cache/proglog/$argv[1]; and cat $cache/proglog/$argv[1]",
        "end",
        "function __proglog_ranges",
        f"    printf '%s\\n' {' '.join(WORDS)}",
        "    for name in (__proglog_names positions); echo unread:$name; end",
        "end",
        "function __proglog_argument",
        "    set -l words (commandline -opc)",
        "    set -l count 0",
        "    for word in $words[2..-1]; string match -q -- '-*' $word; or set count (math $count + 1); end",
        '    test "$words[2]" = $argv[1]; and test $count -eq $argv[2]',
        "end",
        "complete -c proglog -f",
        "complete -c proglog -n __fish_use_subcommand -l version -d 'Print the version'",
    ]
    lines += [
        f"complete -c proglog -n __fish_use_subcommand -a {verb} -d '{_fish_text(text)}'"
        for verb, text in VERBS.items()
    ]
    for verb, flags in flags_of.items():
        when = f"complete -c proglog -n '__fish_seen_subcommand_from {verb}'"
        for flag in flags:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names)
            lines.append(f"{when} {names}{_fish_action(flag.value)} -d '{_fish_text(flag.help)}'")
        for number, value in enumerate(ARGUMENTS.get(verb, ()), 1):
            if value is TEXT:
                continue
            place = f"complete -c proglog -n '__proglog_argument {verb} {number}'"
            lines.append(f"{when if verb == 'produce' else place}{_fish_argument(value)}")
    return "\n".join(lines) + "\n"


def _fish_action(value: Value) -> str:
    match value.kind:
        case "nothing":
            return ""
        case "file" | "directory":
            return " -r -F"
        case "text":
            return " -x"
    return f" -x{_fish_argument(value)}"


def _fish_argument(value: Value) -> str:
    match value.kind:
        case "words":
            return f" -a '{' '.join(value.words)}'"
        case "file":
            return " -F"
        case "directory":
            return " -a '(__fish_complete_directories)'"
        case "range":
            return " -a '(__proglog_ranges)'"
    return f" -a '(__proglog_names {value.kind})'"


def _fish_text(text: str) -> str:
    return text.replace("'", "")
