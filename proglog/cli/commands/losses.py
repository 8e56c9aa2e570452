"""List the records that an agent's log lost and has not recovered, accept a loss, or export records of one origin.

Records that a peer still holds are restored automatically. `losses accept 120:140 --reason "..."` is for records that no
node holds any more: it stores who accepted them, when and why in the data directory, and clears the alarm. The range
runs from the first offset to one past the last, as `losses list` shows it; a wider range covers all damage within it.

Damage that was repaired is listed until `losses accept repaired --reason "..."`: nothing is lost, but the disk is suspect.
A fork is listed as well: two histories of one origin, each on one side only. `losses export ORIGIN:START:END` writes the
sequences that this side has as JSON lines; `proglog produce --format jsonl` appends them again, as new records. `losses
accept ORIGIN --reason "..."` then ends the alarm of this agent; do the same on the other side.

    proglog losses list
    proglog losses list -o json
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from proglog import clock
from proglog.cli import diagnostics, options, output
from proglog.cli.output import Format, Table
from proglog.cli.ranges import parse_range
from proglog.cli.record_shapes import RECORD
from proglog.cli.shapes import Shape
from proglog.client.offset_spec import OffsetSpecKind
from proglog.errors import ConfigError
from proglog.observe.columns import Column
from proglog.observe.spans import Role
from proglog.observe.words import age_words, count_words
from proglog.types import counted

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.client.cursor import Cursor
    from proglog.types import OriginId, SequenceNumber
    from proglog.wire.model import AcceptedLoss, ClusterSnapshot, Condition, DamagedRange


class Step(StrEnum):
    """What is done about losses."""

    LIST = "list"
    ACCEPT = "accept"
    EXPORT = "export"


_ORIGIN = re.compile("[0-9a-fA-F]{4,32}")
FORKED, FORK_ACCEPTED, REPAIRED = "replication-forked", "fork-accepted", "damage-repaired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLoss:
    """One loss, whatever its kind."""

    kind: str
    """``damage``, ``gap``, ``repaired`` or ``fork``."""
    detail: str
    found_at_ms: int | None
    start_offset: int | None = None
    """``None``: a fork has no offsets, nor have repairs, of which there may be many."""
    end_offset: int | None = None
    peer: str | None = None
    """The other side of a fork."""
    origin: str | None = None
    """Of a fork: its first hexadecimal digits."""
    fork_accepted: bool = False
    accepted: "AcceptedLoss | None" = None

    @property
    def range_(self) -> str:
        """What ``losses accept`` takes: a range, ``repaired``, or the origin of a fork."""
        if self.kind == "repaired":
            return self.kind
        return self.origin or f"with {self.peer}" if self.peer is not None else f"{self.start_offset}:{self.end_offset}"

    @property
    def count(self) -> int | None:
        """Number of offsets."""
        return None if self.start_offset is None or self.end_offset is None else self.end_offset - self.start_offset

    @property
    def state(self) -> str:
        """Whether anybody has accepted it."""
        if self.accepted is not None:
            return f"accepted by {self.accepted.accepted_by}: {self.accepted.reason}"
        if self.fork_accepted:
            return "accepted"
        fork = f"two histories, the other on {self.peer}"
        return {"fork": fork, "repaired": "whole again"}.get(self.kind, "lost")


def rows(snapshot: "ClusterSnapshot") -> list[ListedLoss]:
    """Return every loss of a snapshot: ranges by offset, then repairs and forks."""
    log = snapshot.log
    both: list[DamagedRange | AcceptedLoss] = [*log.damaged, *log.accepted]
    ranges = sorted(both, key=lambda loss: (loss.start_offset, loss.end_offset))
    kinds = (REPAIRED, FORKED, FORK_ACCEPTED)
    lasting = [_lasting(each, snapshot.taken_at_ms) for each in snapshot.conditions if each.kind in kinds]
    return [*(_range(each) for each in ranges), *lasting]


def _range(loss: "DamagedRange | AcceptedLoss") -> ListedLoss:
    from proglog.wire.model import AcceptedLoss

    return ListedLoss(
        kind="gap" if loss.gap else "damage",
        detail=loss.detail,
        found_at_ms=loss.found_at_ms,
        start_offset=loss.start_offset,
        end_offset=loss.end_offset,
        accepted=loss if isinstance(loss, AcceptedLoss) else None,
    )


def _lasting(condition: "Condition", taken_at_ms: int) -> ListedLoss:
    found_at_ms = taken_at_ms - condition.since_ms
    if condition.kind == REPAIRED:
        times = f" (the last of {condition.count:,})" if condition.count > 1 else ""
        return ListedLoss(kind="repaired", detail=condition.detail + times, found_at_ms=found_at_ms)
    return ListedLoss(
        kind="fork",
        detail=condition.detail,
        found_at_ms=found_at_ms,
        peer=condition.subject,
        origin=condition.origin or None,
        fork_accepted=condition.kind == FORK_ACCEPTED,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LossShape:
    """Records that a log lost, or had to restore, or a fork."""

    kind: Literal["damage", "gap", "repaired", "fork"]
    start_offset: int | None
    """null: forks and repairs have none."""
    end_offset: int | None
    """One past the last."""
    peer: str | None
    """The other side of a fork."""
    origin: str | None
    """Of a fork: the first hexadecimal digits."""
    detail: str
    """What is wrong, in words. Of an accepted fork: who accepted it, and why."""
    found_at_ms: int | None
    accepted: bool
    accepted_by: str | None
    """The subject of a certificate; null: nobody has accepted it, or it is a fork."""
    accepted_at_ms: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class AcceptedShape:
    """What `losses accept` did."""

    start_offset: int | None
    """null: forks or repairs were accepted."""
    end_offset: int | None
    origin: str | None
    """Of forks."""
    ranges: int
    """Damaged ranges, forks, or repairs, that were accepted."""


def _shaped(row: ListedLoss) -> LossShape:
    accepted = row.accepted
    return LossShape(
        kind=cast("Literal['damage', 'gap', 'repaired', 'fork']", row.kind),
        start_offset=row.start_offset,
        end_offset=row.end_offset,
        peer=row.peer,
        origin=row.origin,
        detail=row.detail,
        found_at_ms=row.found_at_ms,
        accepted=accepted is not None or row.fork_accepted,
        accepted_by=accepted.accepted_by if accepted else None,
        accepted_at_ms=accepted.accepted_at_ms if accepted else None,
        reason=accepted.reason if accepted else None,
    )


LISTED = Shape("losses", LossShape, identity=("kind", "start_offset", "end_offset", "peer", "origin"))
ACCEPTED = Shape("losses-accepted", AcceptedShape, many=False)
SHAPES = (LISTED, ACCEPTED, RECORD)
LOSSES: Table[ListedLoss] = Table(
    columns=(
        Column(title="RANGE", value=lambda row: row.range_),
        Column(title="KIND", value=lambda row: row.kind),
        Column(title="OFFSETS", value=lambda row: row.count or 0, words=count_words, right=True),
        Column(
            title="FOUND",
            value=lambda row: row.found_at_ms,
            words=lambda at_ms: "unknown" if at_ms is None else age_words(at_ms, clock.now_ms()),
            right=True,
        ),
        Column(title="STATE", value=lambda row: row.state, limit=80),
        Column(title="DETAIL", value=lambda row: row.detail, rank=1, limit=100),
    ),
    shape=LISTED,
    data=_shaped,
    empty="nothing is lost",
    role=lambda row: Role.TEXT if row.accepted or row.fork_accepted else Role.BAD,
)


def main(
    step: Annotated[Step, typer.Argument(metavar="list|accept|export", show_default=False)],
    range_: Annotated[
        str,
        typer.Argument(
            metavar="[START:END|ORIGIN|repaired]",
            help="Offsets, the origin of a fork, or `repaired` to accept; ORIGIN:START:END to export; END not included",
        ),
    ] = "",
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
    if step is Step.EXPORT:
        _export(range_, output_, agent)
        return
    if range_ == "repaired":
        _accept_repairs(reason, output_, agent)
        return
    is_fork = _ORIGIN.fullmatch(range_) is not None
    start, end = (None, None) if is_fork else _range_of(range_)
    if not reason.strip():
        raise ConfigError("--reason is missing: state why these records cannot be recovered")

    async def accept(client: "Client") -> int:
        if start is None or end is None:
            return await client.accept_forks(range_, reason)
        return await client.accept_losses(start, end, reason)

    count = agent.with_client(accept)
    words = f"{count} {'fork' if is_fork else 'damaged range'}{'s' * (count != 1)} accepted as lost"
    output.done(AcceptedShape(start, end, range_ if is_fork else None, count), ACCEPTED, output_, words)


def _accept_repairs(reason: str, format_: Format, agent: options.AgentFlags) -> None:
    if not reason.strip():
        raise ConfigError("--reason is missing: state what was done about the disk")
    repairs = agent.with_client(lambda client: client.accept_repairs(reason))
    words = f"{repairs:,} repair{'s' * (repairs != 1)} accepted as known"
    output.done(AcceptedShape(None, None, None, repairs), ACCEPTED, format_, words)


async def _listed(client: "Client") -> list[ListedLoss]:
    return rows(await client.status())


def _export(text: str, format_: Format, agent: options.AgentFlags) -> None:
    """Write the records of one origin between two sequences; as JSON lines, unless in another format."""
    from proglog.cli.render import machine_renderer

    prefix, colon, span = text.partition(":")
    if not colon or not prefix:
        raise ConfigError(f"{text!r} names no sequences: expected ORIGIN:START:END, such as 6f1c2d3e:41:56")
    start, end = _range_of(span)
    render = machine_renderer(Format.JSONL if format_ is Format.TABLE else format_)
    output.values(render.head, as_is=True)

    async def export(client: "Client") -> int:
        from proglog.client import Cursor

        written = 0
        cursor, origin = _beginning(await _end(client), prefix, start)
        async with client.consume(Cursor(cursor)) as consumer:
            async for fetched in consumer:
                found = [record.sequence for record in fetched.records() if record.origin == origin]
                wanted = sum(sequence < end for sequence in found)
                if wanted:
                    data, count = render.batch(fetched, wanted)
                    output.values(data, as_is=True)
                    written += count
                if found and found[-1] + 1 >= end:
                    break
        output.values(render.tail(), as_is=True)
        await output.flush_values()
        return written

    written = agent.with_client(export)
    diagnostics.note(f"{counted(written, 'record')} written; `proglog produce --format jsonl` appends them as new ones")


async def _end(client: "Client") -> "Cursor":
    """Return the cursor at the end of the agent's log: it names every origin."""
    from proglog.client import Cursor, OffsetSpec

    async with client.consume(OffsetSpec.before_end(0)) as consumer:
        await consumer.resolved()
        return consumer.cursor or Cursor()


def _beginning(end: "Cursor", prefix: str, start: int) -> "tuple[dict[OriginId, SequenceNumber], OriginId]":
    """Return the positions before the wanted sequences of one origin and at the end of all others, and that origin."""
    from proglog.types import SequenceNumber

    matching = [origin for origin in end.positions if origin.hex().startswith(prefix.lower())]
    if len(matching) != 1:
        found = "no origin begins" if not matching else f"{len(matching)} origins begin"
        raise ConfigError(f"{found} with {prefix!r} in this agent's log: `proglog lag` shows them")
    return {**end.positions, matching[0]: SequenceNumber(max(1, start))}, matching[0]


def _range_of(text: str) -> tuple[int, int]:
    """Return the numbers of a range.

    Raises:
        ConfigError: It is none.
    """
    refused = ConfigError(f"{text!r:.80} is no range: expected START:END, as `proglog losses list` shows it")
    try:
        start, end = parse_range(text, 0)
    except ConfigError:
        raise refused from None
    if end is None or not start.kind is end.kind is OffsetSpecKind.OFFSET:
        raise refused
    return start.value, end.value
