"""Every flag from the environment: ``PROGLOG_LIMIT`` sets ``--limit``. Reports variables that set no flag."""

from collections.abc import Iterable, Mapping
from typing import Any

from proglog.cli.variable_names import NAMES

PREFIX = "PROGLOG_"
OTHERS = frozenset(
    {"PROGLOG_LONG", "PROGLOG_SEED", "PROGLOG_UPDATE_GOLDENS", "PROGLOG_BENCH_DIR", "PROGLOG_FAULTS_TABLE"}
)
"""Variables that set no flag: those of the tests and the benchmarks."""


def give(command: Any) -> None:
    """Give each option of a command the variable of its long name, unless it has one."""
    for option in options(command):
        long = next((name for name in option.opts if name.startswith("--")), "")
        if long and not option.envvar:
            option.envvar, option.show_envvar = name_of(long), False


def options(command: Any) -> list[Any]:
    """Return the options of a command."""
    return [parameter for parameter in command.params if parameter.param_type_name == "option"]


def name_of(flag: str) -> str:
    """Return the variable of a flag: ``PROGLOG_NODE_NAME`` of ``--node-name``."""
    return PREFIX + flag.removeprefix("--").upper().replace("-", "_")


def strangers(environment: Mapping[str, str]) -> Iterable[str]:
    """Yield each variable that looks like one of a flag and is none, with what was perhaps meant, in words."""
    for name in environment:
        if name.startswith(PREFIX) and name not in NAMES and name not in OTHERS:
            from proglog.cli.front import nearest

            meant = nearest(name.removeprefix(PREFIX), (each.removeprefix(PREFIX) for each in NAMES))
            yield f"{name} sets no flag" + (f"; did you mean {PREFIX}{meant}?" if meant else "")
