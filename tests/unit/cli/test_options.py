"""Groups of flags: a verb names the group, Typer reads its fields, and the verb gets them together."""

import inspect
from dataclasses import fields

import pytest

from proglog.cli import options
from proglog.cli.options import AgentFlags
from proglog.errors import ConfigError


def test_a_group_is_replaced_by_its_fields_and_handed_over_whole() -> None:
    got: list[object] = []

    def main(name: str, *, agent: AgentFlags) -> None:
        got.extend((name, agent))

    verb = options.expanded(main)
    names = [each.name for each in fields(AgentFlags)]
    assert list(inspect.signature(verb).parameters) == ["name", *names]
    verb(name="x", **dict.fromkeys(names[1:-3]), addr="a:1", timeout=3.0, wait=0.0, profile=None)
    assert got == ["x", AgentFlags(addr="a:1", timeout=3.0)]


def test_a_verb_without_groups_is_left_alone() -> None:
    def main(name: str) -> None:
        del name

    assert options.expanded(main) is main


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (AgentFlags(addr="nowhere"), "--addr"),
        (AgentFlags(timeout=0), "--timeout 0: expected more than 0"),
        (AgentFlags(addr="a:1,b"), "--addr"),
        (AgentFlags(wait=-1), "--wait -1: expected more than 0"),
    ],
)
def test_a_flag_that_cannot_be_is_refused_before_anybody_is_asked(flags: AgentFlags, words: str) -> None:
    async def never(_: object) -> None:
        raise AssertionError

    with pytest.raises(ConfigError, match=words):
        flags.with_client(never)
