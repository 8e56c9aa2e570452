"""Show how many copies of every record exist, and which member lacks what.

The first line sums it up: "every record on 3 of 3", or "1,213 on none; every other record on at least 2 of 3". Below it is
a row for each origin, with a column for each member. A failed member keeps its column, with the age of its last report.
Records less than two seconds old are in flight and not counted as missing. With RANGE, only the records in it are shown;
--dry-run prints what RANGE resolves to.

    proglog copies
    proglog copies -1000 -o json
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import options, output, selection, snapshots
from proglog.cli.shapes import Shape
from proglog.errors import ConfigError
from proglog.observe.columns import Column
from proglog.observe.copies import Claim
from proglog.observe.copies_view import CopiesRow, age_words, lack_words, rows, verdict
from proglog.observe.safe_text import safe_text
from proglog.observe.spans import Role
from proglog.observe.words import count_words, origin_id
from proglog.replication.progress import FIRST_SEQUENCE
from proglog.types import OriginId
from proglog.wire.model import ClusterSnapshot, CopyHolder, MemberStatus, StrandedCopies

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.client.cursor import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderShape:
    """A member that holds a log."""

    name: str
    status: MemberStatus
    local: bool
    last_report_ms: int | None
    """Age of its last report; 0: it is connected, null: there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchShape:
    """Records of one origin that each member has all or none of."""

    start_sequence: int
    end_sequence: int
    """One past the last."""
    held_by: dict[str, str]
    """By member: held, missing, damaged, trimmed, gap, unknown, lost or in-flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginShape:
    """An origin that is listed: the worst first."""

    origin: bytes
    node_name: str
    start_sequence: int
    end_sequence: int
    """One past the last."""
    copies: int
    """Of the record that has fewest."""
    members: int
    """That should have all of it."""
    stretches: tuple[StretchShape, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiesShape:
    """How many copies of every record exist."""

    verdict: str
    """The sum of it in words, for people."""
    members: tuple[HolderShape, ...]
    records_by_copies: dict[str, int]
    """Records by their number of copies on living members."""
    lost: int
    """Records that no member holds."""
    stranded: tuple[StrandedCopies, ...]
    """Records that only members hold that are gone."""
    trimmed_at_some: int
    unknown: int
    """Records that may be on a member that never reported."""
    in_flight: int
    """Records less than two seconds old."""
    too_few_ms: int | None
    """How long some record has had too few copies; null: none has."""
    origin_count: int
    whole_count: int
    origins: tuple[OriginShape, ...]


COPIES = Shape("copies", CopiesShape, many=False)
SOME = Shape("copies-in-range", OriginShape, identity=("origin",))
SHAPES = (COPIES, SOME, selection.RESOLVED)
_COLUMNS_OF_MEMBERS = 12


def main(
    range_: Annotated[str, typer.Argument(metavar="[RANGE]", help="Records; default: all")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what RANGE resolves to")] = False,
    output_: options.Output = output.Format.TABLE,
    watch: options.Watch = False,
    *,
    past: snapshots.PastFlags,
    agent: options.AgentFlags,
) -> None:
    if range_ or dry_run:
        if watch or past.replay or past.at:
            raise ConfigError("RANGE is resolved by a live agent, once: leave out --watch, --replay and --at")
        _some(range_ or selection.EVERYTHING, output_, agent, dry_run=dry_run)
        return
    if output_ is not output.Format.TABLE:
        snapshots.run(snapshots.document(document, COPIES, output_, watch=watch), agent, past, watch=watch)
        return

    def show(snapshot: ClusterSnapshot) -> None:
        if watch:
            output.clear_screen()
        output.line(safe_text(verdict(snapshot.copies)))
        more = snapshot.copies.origin_count - len(rows(snapshot))
        if more > 0:
            output.line(f"{more:,} more origins are whole, or not listed: the totals count them")
        output.items(rows(snapshot), table(snapshot.copies.holders), output_)

    snapshots.run(show, agent, past, watch=watch)


def _some(range_: str, format_: output.Format, agent: options.AgentFlags, *, dry_run: bool) -> None:
    """Show the copies of the records in a range."""
    selection.check(range_)
    if dry_run:
        selection.show(agent.with_client(lambda client: selection.resolve(client, range_)), format_)
        return

    async def ask(client: "Client") -> tuple[ClusterSnapshot, list[CopiesRow]]:
        before, after = await selection.vectors(client, range_)
        snapshot = await client.status()
        cut = (_cut(row, before, after) for row in rows(snapshot))
        return snapshot, [row for row in cut if row.stretches]

    snapshot, found = agent.with_client(ask)
    if format_ is output.Format.TABLE:
        output.items(found, replace(table(snapshot.copies.holders), empty="no records in that range"), format_)
        return
    with output.Listing(SOME, format_) as listing:
        for row in found:
            listing.add(_origin_shape(row))
    output.flush()


def _cut(row: CopiesRow, before: "Cursor", after: "Cursor") -> CopiesRow:
    """Return a row of the records between two positions only."""
    origin = OriginId(row.origin)
    start, end = before.positions.get(origin, FIRST_SEQUENCE), after.positions.get(origin, FIRST_SEQUENCE)
    stretches = tuple(
        replace(each, start=max(each.start, start), end=min(each.end, end))
        for each in row.stretches
        if max(each.start, start) < min(each.end, end)
    )
    return _Part(row.origin, row.node_name, row.holders, stretches, row.listed)


class _Part(CopiesRow):
    """Some records of an origin."""

    @property
    def least(self) -> int:
        """Copies of the record that has fewest, of those that are no longer in flight."""
        held = (
            sum(
                claim is Claim.HELD and holder.status is MemberStatus.ALIVE
                for holder, claim in zip(self.holders, each.claims, strict=True)
            )
            for each in self.stretches
            if Claim.IN_FLIGHT not in each.claims
        )
        return min(held, default=self.expected)


def table(holders: tuple[CopyHolder, ...]) -> output.Table[CopiesRow]:
    """Return the table of a cluster with these members."""
    columns = [
        Column(title="ORIGIN", value=_origin, limit=40),
        Column(title="SEQUENCES", value=lambda row: row.end - row.start, words=count_words, right=True, rank=2),
        Column(title="COPIES", value=lambda row: f"{row.least} of {row.expected}"),
        *(_member(number, each) for number, each in enumerate(holders[:_COLUMNS_OF_MEMBERS])),
    ]
    return output.Table(columns=columns, shape=COPIES, data=_origin_shape, role=_role, empty="no records yet")


def _origin(row: CopiesRow) -> str:
    return f"{row.node_name or '?'} {origin_id(row.origin)}"


def _member(number: int, holder: CopyHolder) -> Column[CopiesRow]:
    gone = holder.status in (MemberStatus.FAILED, MemberStatus.LEFT)
    state = f" {holder.status.value}" if gone else ""
    age = f", {age_words(holder)}" if age_words(holder) else ""
    return Column(
        title=safe_text(f"{holder.name}{state}{age}", 60),
        value=lambda row: lack_words(row.counts(number)),
        rank=number + 3,
        limit=60,
    )


def _role(row: CopiesRow) -> Role:
    if row.least == 0:
        return Role.BAD
    return Role.WARN if row.least < min(2, row.expected) else Role.TEXT


def _origin_shape(row: CopiesRow) -> OriginShape:
    return OriginShape(
        origin=row.origin,
        node_name=row.node_name,
        start_sequence=row.start,
        end_sequence=row.end,
        copies=row.least,
        members=row.expected,
        stretches=tuple(
            StretchShape(
                start_sequence=each.start,
                end_sequence=each.end,
                held_by={holder.name: claim.value for holder, claim in zip(row.holders, each.claims, strict=True)},
            )
            for each in row.stretches
        ),
    )


def document(snapshot: ClusterSnapshot) -> CopiesShape:
    """Return the copies of a snapshot for programs."""
    copies = snapshot.copies
    return CopiesShape(
        verdict=verdict(copies),
        members=tuple(
            HolderShape(name=each.name, status=each.status, local=each.local, last_report_ms=each.word_ms)
            for each in copies.holders
        ),
        records_by_copies={str(each.copies): each.records for each in copies.counts},
        lost=copies.lost,
        stranded=copies.stranded,
        trimmed_at_some=copies.trimmed,
        unknown=copies.unknown,
        in_flight=copies.in_flight,
        too_few_ms=copies.since_ms,
        origin_count=copies.origin_count,
        whole_count=copies.whole_count,
        origins=tuple(map(_origin_shape, rows(snapshot))),
    )
