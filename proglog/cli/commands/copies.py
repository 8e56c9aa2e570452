"""Show how many copies of every record exist, and which member lacks what.

The first line sums it up: "every record on 3 of 3", or "1,213 on none; every other record on at least 2 of 3". Below it is
a row for each origin, with a column for each member. A failed member keeps its column, with the age of its last report.
Records less than two seconds old are in flight and not counted as missing.
"""

import json

from proglog.cli import options, output, snapshots
from proglog.observe.columns import Column
from proglog.observe.copies_view import CopiesRow, age_words, lack_words, rows, verdict
from proglog.observe.json_values import to_json_value
from proglog.observe.safe_text import safe_text
from proglog.observe.spans import Role
from proglog.observe.words import count_words, origin_id
from proglog.wire.model import ClusterSnapshot, CopyHolder, MemberStatus

_COLUMNS_OF_MEMBERS = 12


def main(
    output_: options.Output = output.Format.TABLE,
    watch: options.Watch = False,
    *,
    past: snapshots.PastFlags,
    agent: options.AgentFlags,
) -> None:
    snapshots.run(lambda snapshot: _write(snapshot, output_), agent, past, watch=watch)


def _write(snapshot: ClusterSnapshot, format_: output.Format) -> None:
    if format_ in (output.Format.JSON, output.Format.JSONL):
        output.line(json.dumps(_data(snapshot), indent=2 if format_ is output.Format.JSON else None))
        output.flush()
        return
    if format_ is output.Format.TABLE:
        output.line(safe_text(verdict(snapshot.copies)))
        more = snapshot.copies.origin_count - len(rows(snapshot))
        if more > 0:
            output.line(f"{more:,} more origins are whole, or not listed: the totals count them")
    output.items(rows(snapshot), table(snapshot.copies.holders), format_)


def table(holders: tuple[CopyHolder, ...]) -> output.Table[CopiesRow]:
    """Return the table of a cluster with these members."""
    columns = [
        Column(title="ORIGIN", value=_origin, limit=40),
        Column(title="RECORDS", value=lambda row: row.end - row.start, words=count_words, right=True, rank=2),
        Column(title="COPIES", value=lambda row: f"{row.least} of {row.expected}"),
        *(_member(number, each) for number, each in enumerate(holders[:_COLUMNS_OF_MEMBERS])),
    ]
    return output.Table(columns=columns, data=_row_data, role=_role, empty="no records yet")


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


def _row_data(row: CopiesRow) -> dict[str, object]:
    return {
        "origin": row.origin.hex(),
        "node_name": row.node_name,
        "start_sequence": row.start,
        "end_sequence": row.end,
        "copies": row.least,
        "members": row.expected,
        "stretches": [
            {
                "start": each.start,
                "end": each.end,
                "held_by": {holder.name: claim.value for holder, claim in zip(row.holders, each.claims, strict=True)},
            }
            for each in row.stretches
        ],
    }


def _data(snapshot: ClusterSnapshot) -> dict[str, object]:
    copies = snapshot.copies
    return {
        "verdict": verdict(copies),
        "members": [to_json_value(each) for each in copies.holders],
        "records_by_copies": {str(each.copies): each.records for each in copies.counts},
        "lost": copies.lost,
        "stranded": [to_json_value(each) for each in copies.stranded],
        "trimmed_at_some": copies.trimmed,
        "unknown": copies.unknown,
        "in_flight": copies.in_flight,
        "since_ms": copies.since_ms,
        "origin_count": copies.origin_count,
        "whole_count": copies.whole_count,
        "origins": [_row_data(row) for row in rows(snapshot)],
    }
