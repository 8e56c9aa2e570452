"""Print the command tree as JSON: every verb with its help, arguments, flags, defaults and variables, and the exit codes.

For wrappers, completions and generated documentation. `version` is the schema's: it grows when a key is removed or
changes meaning.

    proglog spec | python3 -m json.tool
    proglog spec | jq -r '.verbs[] | select(.name == "consume").flags[].names[0]'
"""

import json
from enum import Enum
from pathlib import Path
from typing import Any

from proglog import __version__
from proglog.cli import output
from proglog.cli.exit_codes import MEANINGS
from proglog.cli.verbs import VERBS

SHAPE_VERSION = 1


def main() -> None:
    from proglog.cli.app import verb

    tree = {
        "version": SHAPE_VERSION,
        "proglog": __version__,
        "exit_codes": {str(code.value): meaning for code, meaning in MEANINGS.items()},
        "verbs": [_verb(name, line, verb(name)) for name, line in VERBS.items()],
    }
    output.line(json.dumps(tree, indent=2))


def _verb(name: str, line: str, command: Any) -> dict[str, Any]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    flags = [each for each in command.params if each.param_type_name == "option"]
    return {
        "name": name,
        "summary": line,
        "help": (command.help or "").strip(),
        "arguments": [
            {"name": each.metavar or each.name, "help": each.help or "", "required": each.required}
            for each in arguments
        ],
        "flags": [
            {
                "names": list(each.opts),
                "help": each.help or "",
                "takes": None if each.is_flag else each.metavar or each.type.name,
                "repeats": bool(each.multiple),
                "default": _plain(each.default),
                "variable": each.envvar,
            }
            for each in flags
        ],
    }


def _plain(value: Any) -> Any:
    """Return a default as JSON knows it."""
    match value:
        case Enum():
            return value.value
        case Path():
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [_plain(each) for each in value]
    return None
