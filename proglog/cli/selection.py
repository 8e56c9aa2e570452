"""What a RANGE resolves to: offsets of one agent's log, and the position before them, valid on every node."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proglog import clock
from proglog.cli import output, zone
from proglog.cli.output import Format
from proglog.cli.ranges import UNREAD, parse_start
from proglog.cli.shapes import Shape
from proglog.errors import ConfigError, InvalidRequestError, NotFoundError
from proglog.types import counted, half_open

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.client.cursor import Cursor
    from proglog.client.offset_spec import OffsetSpec

EVERYTHING = "start"
_SHOWN = 20
"""Names that are given when another one is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionShape:
    """What a RANGE resolves to. Offsets are those of the log of one agent."""

    range: str
    """As given."""
    addr: str
    """The agent that resolved it."""
    log: bytes
    """The log that the offsets are of."""
    start_offset: int
    end_offset: int | None
    """One past the last; null: no end, as with --follow."""
    records: int | None
    """At most so many: a cursor may have had some of them. null: no end."""
    cursor: str
    """Everything before it is before the range, on every node."""


RESOLVED = Shape("range", SelectionShape, many=False)


async def places(client: "Client", text: str) -> "tuple[OffsetSpec | Cursor, OffsetSpec | None]":
    """Return where a RANGE starts and ends; ``unread:NAME`` is looked up.

    Raises:
        ConfigError: It is not in the grammar.
        NotFoundError: There is no position of that name.
    """
    check(text)
    if not text.startswith(UNREAD):
        return parse_start(text, clock.now_ms(), zone.current())
    name = text.removeprefix(UNREAD)
    found = await client.find_position(name)
    if found is None or found.deleted:
        raise NotFoundError(await no_position(client, name))
    return found.cursor, None


def check(text: str) -> None:
    """Refuse what is no RANGE, before anything is connected to.

    Raises:
        ConfigError: It is not in the grammar.
    """
    if not text.startswith(UNREAD):
        parse_start(text, clock.now_ms(), zone.current())
        return
    from proglog.client.positions import check_name

    try:
        check_name(text.removeprefix(UNREAD))
    except InvalidRequestError as exc:
        raise ConfigError(f"RANGE: {exc}") from exc


async def no_position(client: "Client", name: str) -> str:
    """Return the message that there is no position of a name, with those that there are."""
    from proglog.cli.front import nearest

    every = sorted(each.name for each in await client.positions())
    meant = nearest(name, every)
    known = f"did you mean {meant}?" if meant else f"there are: {', '.join(every[:_SHOWN]) or 'none'}"
    return f"there is no position {name!r}; {known}"


async def resolve(client: "Client", text: str, *, follow: bool = False) -> SelectionShape:
    """Return what a RANGE resolves to now.

    Raises:
        ProglogError: As :func:`places`; or no agent answered.
    """
    start, end = await places(client, text)
    async with client.consume(start, end, follow=follow, first_contact=0) as consumer:
        first, last = await consumer.resolved()
        cursor = consumer.cursor
        assert cursor is not None, "it is resolved"
        return SelectionShape(
            range=text,
            addr=consumer.addr,
            log=consumer.log,
            start_offset=first,
            end_offset=last,
            records=None if last is None else max(0, last - first),
            cursor=cursor.token(),
        )


def show(found: SelectionShape, format_: Format) -> None:
    """Write what a RANGE resolves to, for ``--dry-run``."""
    if found.end_offset is None:
        words = f"from offset {found.start_offset:,} on"
    elif not found.records:
        words = f"no records (at offset {found.start_offset:,})"
    else:
        records = counted(found.records, "record")
        words = f"offsets {half_open(found.start_offset, found.end_offset)}: {records}"
    output.one(found, RESOLVED, format_, [f"{found.range} is {words}, in the log of {found.addr}"])


async def vectors(client: "Client", text: str) -> "tuple[Cursor, Cursor]":
    """Return the positions at both ends of a RANGE: what of each origin is between them is in it.

    Raises:
        ProglogError: As :func:`resolve`.
    """
    from proglog.client.cursor import Cursor
    from proglog.client.offset_spec import OffsetSpec

    found = await resolve(client, text)
    assert found.end_offset is not None, "it has an end"
    async with client.consume(OffsetSpec.offset(found.end_offset, found.log), first_contact=0) as consumer:
        await consumer.resolved()
        after = consumer.cursor
    assert after is not None, "it is resolved"
    return Cursor.parse(found.cursor), after
