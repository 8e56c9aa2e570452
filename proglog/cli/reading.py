"""Ways through a RANGE that end: backwards, and counted in groups."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proglog.cli import output, selection
from proglog.cli.output import Format, Table
from proglog.cli.record_shapes import GROUPS, GroupShape
from proglog.cli.render import Keep, Renderer, heading
from proglog.cli.templates import HEADER
from proglog.client.offset_spec import OffsetSpec
from proglog.errors import ConfigError
from proglog.observe.columns import Column
from proglog.observe.words import bytes_words, count_words

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.record.record import StoredRecord

__all__ = ["backwards", "groups", "heading"]

CHUNK_RECORDS = 1_000
"""Records that are held at once to be turned round."""
MAX_GROUPS = 100_000
_NAME_CELLS = 60


async def backwards(
    client: "Client", range_: str, render: Renderer, keep: Keep | None, limit: int | None, *, as_is: bool
) -> None:
    """Write the records of a RANGE, newest first.

    Raises:
        ProglogError: No agent answered, or one cannot give the records.
    """
    found = await selection.resolve(client, range_)
    end, left = found.end_offset or found.start_offset, limit
    output.values(render.head, as_is=True)
    while end > found.start_offset and left != 0:
        size = CHUNK_RECORDS if keep is not None or left is None else min(CHUNK_RECORDS, left)
        start = max(found.start_offset, end - size)
        records: list[StoredRecord] = []
        async with client.consume(
            OffsetSpec.offset(start, found.log), OffsetSpec.offset(end, found.log), first_contact=0
        ) as consumer:
            async for batch in consumer:
                records += batch.records()
        wanted = [record for record in reversed(records) if keep is None or keep(record)][:left]
        output.values(render.records(iter(wanted)), as_is=as_is)
        await output.flush_values()
        left = None if left is None else left - len(wanted)
        end = start
    output.values(render.tail(), as_is=True)
    await output.flush_values()


@dataclass(slots=True)
class _Group:
    name: bytes | None
    records: int
    value_bytes: int
    first: "StoredRecord"
    last: "StoredRecord"


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _shaped(group: _Group) -> GroupShape:
    return GroupShape(
        group=None if group.name is None else _text(group.name),
        records=group.records,
        value_bytes=group.value_bytes,
        first_offset=group.first.offset,
        last_offset=group.last.offset,
        first_timestamp_ms=group.first.timestamp_ms,
        last_timestamp_ms=group.last.timestamp_ms,
    )


TABLE: Table[_Group] = Table(
    columns=(
        Column(title="GROUP", value=lambda group: None if group.name is None else _text(group.name), limit=_NAME_CELLS),
        Column(title="RECORDS", value=lambda group: group.records, words=count_words, right=True),
        Column(title="VALUES", value=lambda group: group.value_bytes, words=bytes_words, right=True),
        Column(title="FIRST OFFSET", value=lambda group: group.first.offset, words=count_words, right=True, rank=1),
        Column(title="LAST OFFSET", value=lambda group: group.last.offset, words=count_words, right=True, rank=2),
    ),
    shape=GROUPS,
    data=_shaped,
    empty="no records",
)


async def groups(client: "Client", range_: str, by: str, keep: Keep | None, limit: int | None, format_: Format) -> None:
    """Write how many records of a RANGE there are in each group, the largest first.

    Raises:
        ConfigError: ``by`` is nothing to group by.
        ProglogError: No agent answered, or one cannot give the records.
    """
    name_of, names = _grouping(by), {each.origin: each.node_name for each in (await client.status()).origins}
    found: dict[bytes | None, _Group] = {}
    start, end = await selection.places(client, range_)
    left = limit
    async with client.consume(start, end, first_contact=0) as consumer:
        async for batch in consumer:
            for record in _wanted(batch.records(), keep):
                if left == 0:
                    break
                left = None if left is None else left - 1
                _count(found, name_of(record), record)
            if left == 0:
                break
    if by == "origin":
        for group in found.values():
            node = names.get(group.name or b"", "")
            group.name = f"{node} {(group.name or b'').hex()}".strip().encode()
    listed = sorted(found.values(), key=lambda group: -group.records)

    output.items(listed, TABLE, format_)


def _wanted(records: "Iterator[StoredRecord]", keep: Keep | None) -> "Iterator[StoredRecord]":
    return records if keep is None else filter(keep, records)


def _count(found: dict[bytes | None, _Group], name: bytes | None, record: "StoredRecord") -> None:
    group = found.get(name)
    if group is None:
        if len(found) >= MAX_GROUPS:
            raise ConfigError(f"--group-by found more than {MAX_GROUPS:,} groups: choose fewer records")
        found[name] = _Group(name, 1, len(record.value), record, record)
        return
    group.records += 1
    group.value_bytes += len(record.value)
    group.last = record


def _grouping(by: str) -> "Callable[[StoredRecord], bytes | None]":
    if by.startswith(HEADER) and len(by) > len(HEADER):
        name = by.removeprefix(HEADER)
        return lambda record: next((value for head, value in record.headers if head == name), None)
    match by:
        case "key":
            return lambda record: record.key
        case "value":
            return lambda record: record.value
        case "origin":
            return lambda record: record.origin
    raise ConfigError(f"--group-by {by!r:.60}: expected key, value, origin or header.NAME")
