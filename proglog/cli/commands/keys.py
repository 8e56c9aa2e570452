"""Generate, list and rotate the gossip keys of all members while the cluster runs, as `serf keys` does.

To rotate a key: `generate`, `install NEW`, `use NEW`, `remove OLD`. Each agent keeps the change across restarts; also
put the new key into --encrypt-file for agents that join later.
"""

import base64
import binascii
import secrets
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output
from proglog.cli.output import Format, Table
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


KEYS: Table[tuple[str, int, int, int]] = Table(
    columns=(
        Column(title="KEY", value=lambda key: key[0], limit=60),
        Column(title="HAVE IT", value=lambda key: f"{key[1]} of {key[3]}", right=True),
        Column(title="SEAL WITH IT", value=lambda key: f"{key[2]} of {key[3]}", right=True),
    ),
    data=lambda key: {"key": key[0], "have_it": key[1], "seal_with_it": key[2], "members": key[3]},
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
        output.line(base64.b64encode(secrets.token_bytes(32)).decode())
        output.flush()
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


def _held(report: "KeysReport") -> list[tuple[str, int, int, int]]:
    having = Counter(key for each in report.answers for key in each.keys)
    sealing = Counter(each.primary for each in report.answers)
    return [
        (base64.b64encode(key).decode(), count, sealing[key], report.members) for key, count in having.most_common()
    ]
