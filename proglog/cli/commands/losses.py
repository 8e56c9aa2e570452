"""List the records that an agent's log lost and has not recovered, or accept a loss.

Records that a peer still holds are restored automatically. `losses accept 120..140 --reason "..."` is for records that no
node holds any more: it stores who accepted them, when and why in the data directory, and clears the alarm. The range
runs from the first offset to one past the last, as `losses list` shows it; a wider range covers all damage within it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from proglog import clock
from proglog.cli import diagnostics, options, output
from proglog.cli.output import Format, Table
from proglog.errors import ConfigError
from proglog.observe.columns import Column
from proglog.observe.spans import Role
from proglog.observe.words import age_words, count_words
from proglog.types import MAX_ORDINAL

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.wire.model import AcceptedLoss, DamagedRange


class Step(StrEnum):
    """What is done about losses."""

    LIST = "list"
    ACCEPT = "accept"


def _state(loss: "DamagedRange | AcceptedLoss") -> str:
    by = getattr(loss, "accepted_by", None)
    return "lost" if by is None else f"accepted by {by}: {getattr(loss, 'reason', '')}"


def _data(loss: "DamagedRange | AcceptedLoss") -> Mapping[str, object]:
    return {
        "range": f"{loss.start_offset}..{loss.end_offset}",
        "kind": "damage",
        "start_offset": loss.start_offset,
        "end_offset": loss.end_offset,
        "detail": loss.detail,
        "found_at_ms": loss.found_at_ms,
        "accepted_by": getattr(loss, "accepted_by", None),
        "accepted_at_ms": getattr(loss, "accepted_at_ms", None),
        "reason": getattr(loss, "reason", None),
    }


LOSSES: Table["DamagedRange | AcceptedLoss"] = Table(
    columns=(
        Column(title="RANGE", value=lambda loss: f"{loss.start_offset}..{loss.end_offset}"),
        Column(title="OFFSETS", value=lambda loss: loss.end_offset - loss.start_offset, words=count_words, right=True),
        Column(
            title="FOUND",
            value=lambda loss: loss.found_at_ms,
            words=lambda at_ms: "unknown" if at_ms is None else age_words(at_ms, clock.now_ms()),
            right=True,
        ),
        Column(title="STATE", value=_state, limit=80),
        Column(title="DETAIL", value=lambda loss: loss.detail, rank=1, limit=100),
    ),
    data=_data,
    empty="nothing is lost",
    role=lambda loss: Role.TEXT if hasattr(loss, "accepted_by") else Role.BAD,
)


def main(
    step: Annotated[Step, typer.Argument(metavar="list|accept", show_default=False)],
    range_: Annotated[str, typer.Argument(metavar="[START..END]", help="Offsets to accept, END not included")] = "",
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why the loss is accepted; kept with it")
    ] = "",
    output_: options.Output = Format.TABLE,
    *,
    agent: options.AgentFlags,
) -> None:
    if step is Step.LIST:
        if range_ or reason:
            raise ConfigError("`losses list` takes neither a range nor --reason: did you mean `losses accept`?")
        output.items(agent.with_client(_listed), LOSSES, output_)
        return
    start, end = _range_of(range_)
    if not reason.strip():
        raise ConfigError("--reason is missing: state why these records cannot be recovered")

    async def accept(client: "Client") -> int:
        return await client.accept_losses(start, end, reason)

    ranges = agent.with_client(accept)
    diagnostics.note(f"{ranges} damaged range{'s' * (ranges != 1)} accepted as lost")


async def _listed(client: "Client") -> "list[DamagedRange | AcceptedLoss]":
    log = (await client.status()).log
    return sorted([*log.damaged, *log.accepted], key=lambda loss: (loss.start_offset, loss.end_offset))


def _range_of(text: str) -> tuple[int, int]:
    """Return the offsets of a range.

    Raises:
        ConfigError: It is none.
    """
    start, dots, end = text.partition("..")
    digits = all(part.isascii() and part.isdigit() and len(part) <= 19 for part in (start, end))
    if not dots or not digits or not int(start) <= int(end) <= MAX_ORDINAL:
        raise ConfigError(f"{text!r} is no range of offsets: expected START..END, as `proglog losses list` shows it")
    return int(start), int(end)
