"""Generate, list and rotate the gossip keys of all members while the cluster runs, as `serf keys` does.

To rotate a key: `generate`, `install NEW`, `use NEW`, `remove OLD`. Each agent keeps the change across restarts; also
put the new key into --encrypt-file for agents that join later.

    proglog keys generate
    proglog keys generate -o json
"""

import base64
import binascii
import secrets
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output
from proglog.cli.output import Format, Table
from proglog.cli.shapes import Shape
from proglog.errors import ConfigError, PreconditionError
from proglog.observe.columns import Column
from proglog.observe.safe_text import safe_text

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.client.membership_client import KeysReport


class KeyStep(StrEnum):
    """What is done with the keys."""

    GENERATE = "generate"
    LIST = "list"
    INSTALL = "install"
    USE = "use"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class KeyShape:
    """A gossip key that some member has."""

    key: str
    """In base64. A secret."""
    have_it: int
    """Members that have it."""
    seal_with_it: int
    """Members that encrypt with it."""
    members: int
    """Members that were asked."""


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key."""

    key: str
    """In base64. A secret."""


@dataclass(frozen=True, slots=True)
class KeyStepShape:
    """What became of a step."""

    step: str
    """install, use or remove."""
    done: int
    """Members that did it."""
    members: int
    """Members that were asked."""
    errors: dict[str, str]
    """By member."""


LISTED = Shape("keys", KeyShape, identity=("key",))
MADE = Shape("key", MadeKey, many=False)
STEP = Shape("key-step", KeyStepShape, many=False)
SHAPES = (LISTED, MADE, STEP)
KEYS: Table[KeyShape] = Table(
    columns=(
        Column(title="KEY", value=lambda key: key.key, limit=60),
        Column(title="HAVE IT", value=lambda key: f"{key.have_it} of {key.members}", right=True),
        Column(title="SEAL WITH IT", value=lambda key: f"{key.seal_with_it} of {key.members}", right=True),
    ),
    shape=LISTED,
    empty="no member reported its keys",
)


def main(
    action: Annotated[KeyStep, typer.Argument(metavar="generate|list|install|use|remove", show_default=False)],
    key: Annotated[
        str, typer.Argument(metavar="[KEY]", help="16, 24 or 32 bytes as base64; - reads it from stdin")
    ] = "",
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    if action is KeyStep.GENERATE:
        made = MadeKey(base64.b64encode(secrets.token_bytes(32)).decode())
        output.one(made, MADE, output_, [made.key])
        return
    changes = action is not KeyStep.LIST
    data = _key(typer.get_text_stream("stdin").readline().strip() if key == "-" else key) if changes else b""

    async def ask(client: "Client") -> "KeysReport":
        return await client.membership.keys(action.value, data)

    report = agent.with_client(ask)
    if not changes:
        output.items(_held(report), KEYS, output_)
    failed = [each for each in report.answers if each.error]
    for each in failed:
        diagnostics.note(f"{safe_text(each.node)}: {safe_text(each.error)}")
    done = len(report.answers) - len(failed)
    if changes:
        errors = {each.node: each.error for each in failed}
        output.one(KeyStepShape(action.value, done, report.members, errors), STEP, output_)
    diagnostics.note(f"{action.value}: {done} of {report.members} members")
    if done < report.members:
        raise PreconditionError(
            f"{report.members - done} of {report.members} members did not do it: find out why before the next step"
        )


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ConfigError("the key is not base64: `proglog keys generate` makes one") from exc


def _held(report: "KeysReport") -> list[KeyShape]:
    having = Counter(key for each in report.answers for key in each.keys)
    sealing = Counter(each.primary for each in report.answers)
    return [
        KeyShape(base64.b64encode(key).decode(), count, sealing[key], report.members)
        for key, count in having.most_common()
    ]
