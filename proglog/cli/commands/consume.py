"""Read records. Writes values to stdout byte for byte, and nothing else.

RANGE is one of: start, end, 47, +2 (two after the start), -3 (the last three), 5:10 (half-open), :end, @1h (an hour
ago), @2026-01-02T03:04:05Z, @14:13, @2h:@1h, unread:NAME (what NAME has not read yet), cursor:TOKEN (from
--print-cursor, valid on any node). Default: everything. Stops at the end of the log unless --follow.

With --as NAME, resumes where NAME last stopped, on any node; RANGE only sets where the first run starts. The position is
committed after the values are written: a killed run repeats what came after its last commit, a run that ends in order
repeats nothing.

With several addresses, --addr A,B,C, fails over to the next node without missing or repeating a record.

    proglog consume 5:10 --format '{offset:>6} {timestamp} {key:<8} {value}'
    proglog consume @1h -o jsonl --grep error
    proglog consume --group-by key
"""

from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output, selection
from proglog.cli.heap import keep_freed_memory
from proglog.cli.interruption import terminable
from proglog.cli.output import Format
from proglog.cli.ranges import CURSOR
from proglog.cli.record_shapes import GROUPS, RECORD
from proglog.errors import ConfigError, InvalidRequestError, ProglogError
from proglog.quantities import duration
from proglog.types import half_open

if TYPE_CHECKING:
    from proglog.cli.render import Keep, Renderer
    from proglog.client import Client
    from proglog.client.consumer import Consumer
    from proglog.client.cursor import Cursor
    from proglog.client.fetched import Gone
    from proglog.client.named import NamedConsumer

FLUSH_BYTES = 256 * 1024
CHOICE = "Which records"


SHAPES = (RECORD, GROUPS, selection.RESOLVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceFlags:
    """Which of the records in RANGE are written."""

    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="PATTERN",
            help="With a key like this: * and ? as in a shell; repeatable, any of them",
            rich_help_panel=CHOICE,
        ),
    ] = None
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            metavar="NAME[=PATTERN]",
            help="With this header; repeatable, all of them",
            rich_help_panel=CHOICE,
        ),
    ] = None
    origin: Annotated[
        list[str] | None,
        typer.Option(
            "--origin",
            metavar="NODE|HEX",
            help="First produced on this node, or of this origin; repeatable",
            rich_help_panel=CHOICE,
        ),
    ] = None
    grep: Annotated[
        str, typer.Option("--grep", metavar="RE2", help="Whose value matches this", rich_help_panel=CHOICE)
    ] = ""

    async def keep(self, client: "Client") -> "Keep | None":
        """Return what tells whether a record is wanted.

        Raises:
            ConfigError: A pattern is none, or no node or origin has that name.
        """
        from proglog.cli.filters import keep

        origins = [] if not self.origin else await _origins(client, self.origin)
        return keep(keys=self.key or (), headers=self.header or (), origins=origins, grep=self.grep)

    def check(self) -> None:
        """Refuse a pattern that is none, before anything is connected to."""
        from proglog.cli.filters import keep

        keep(keys=self.key or (), headers=self.header or (), grep=self.grep)


def main(
    context: typer.Context,
    range_: Annotated[str, typer.Argument(metavar="[RANGE]", help="Records to read; default: everything")] = "start",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait at the end of the log for more")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="Stop after so many records")] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Newest first; of one node's log")] = False,
    as_: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Resume where NAME stopped, and keep its position in the cluster"),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="With --as: forget the position and start at RANGE")] = False,
    commit_interval: Annotated[
        str, typer.Option("--commit-interval", metavar="D", help="With --as: time between commits")
    ] = "5s",
    print_cursor: Annotated[
        bool,
        typer.Option("--print-cursor", help="At the end, print on stderr the RANGE to resume from, valid on any node"),
    ] = False,
    skip_gone: Annotated[
        bool,
        typer.Option("--skip-gone", help="Skip records that a cursor or NAME wants but that are gone, and report them"),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what RANGE resolves to, and read nothing")] = False,
    group_by: Annotated[
        str,
        typer.Option(
            "--group-by",
            metavar="key|origin|header.NAME|value",
            help="Instead of the records, print how many there are of each value",
        ),
    ] = "",
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="line|null|TEMPLATE",
            help="What follows a value; or a template such as '{offset} {key} {value}': see `proglog help templates`",
        ),
    ] = "line",
    output_: Annotated[
        Format | None,
        typer.Option(
            "--output",
            "-o",
            envvar="PROGLOG_OUTPUT",
            case_sensitive=False,
            help="Whole records instead of values, in this format",
        ),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write values to a terminal unescaped")] = False,
    *,
    choice: ChoiceFlags,
    agent: options.AgentFlags,
) -> None:
    from proglog.cli.render import machine_renderer, renderer

    if as_ is not None:
        _check_name(as_)
    selection.check(range_)
    if limit is not None and limit < 0:
        raise ConfigError(f"--limit {limit}: expected 0 or more")
    _check_together(as_, reset=reset, follow=follow, reverse=reverse, group_by=group_by, dry_run=dry_run)
    interval = duration("--commit-interval", commit_interval, bare="s")
    if not 0 < interval <= 86_400:
        raise ConfigError(f"--commit-interval {commit_interval}: expected more than 0 and at most 1d")
    choice.check()
    given = {name: source.name for name in ("format_", "output_") if (source := context.get_parameter_source(name))}
    if output_ is not None and given.get("format_") == "COMMANDLINE":
        if given.get("output_") == "COMMANDLINE":
            raise ConfigError("--format is how values are written, -o how whole records are: give one of them")
        output_ = None  # a variable that all verbs read
    renderer(format_, harmless=False)
    if dry_run:

        async def look(client: "Client") -> selection.SelectionShape:
            return await selection.resolve(client, range_, follow=follow)

        selection.show(agent.with_cluster(look), output_ or Format.TABLE)
        return

    async def read(client: "Client") -> None:
        from proglog.cli import reading

        keep = await choice.keep(client)
        if group_by:
            await reading.groups(client, range_, group_by, keep, limit, output_ or Format.TABLE)
            return
        render = (
            renderer(format_, harmless=output.is_terminal() and not raw, keep=keep)
            if output_ is None
            else machine_renderer(output_, keep)
        )
        writer = _Writer(render, None if keep is None else limit, eager=follow, as_is=raw or render.is_safe)
        if output_ is Format.TABLE:
            output.values(reading.heading(), as_is=True)
        if reverse:
            await reading.backwards(client, range_, render, keep, limit, as_is=raw or render.is_safe)
            return
        start, end = await selection.places(client, range_)
        async with terminable(), AsyncExitStack() as stack:
            consumer: Consumer | NamedConsumer
            if as_ is None:
                consumer = client.consume(
                    start,
                    end,
                    follow=follow,
                    limit=limit if keep is None else None,
                    skip_gone=skip_gone,
                    on_gone=_say_gone,
                    on_move=_say_moved,
                    first_contact=0,
                )
            else:
                consumer = client.named(
                    as_,
                    start,
                    end,
                    follow=follow,
                    limit=limit if keep is None else None,
                    reset=reset,
                    interval=interval,
                    by_hand=True,
                    skip_gone=skip_gone,
                    stop_at_gap=False,
                    on_gone=_say_gone,
                    on_move=_say_moved,
                    on_problem=_say_not_committed,
                    first_contact=0,
                )
            await stack.enter_async_context(consumer)
            try:
                await writer.write_all(consumer)
            finally:
                if print_cursor and writer.written is not None:
                    diagnostics.say(f"{CURSOR}{writer.written}")

    keep_freed_memory()
    agent.with_cluster(read)


def _check_together(as_: str | None, *, reset: bool, follow: bool, reverse: bool, group_by: str, dry_run: bool) -> None:
    if reset and as_ is None:
        raise ConfigError("--reset forgets a named position: name it with --as NAME")
    for flag, given in (("--reverse", reverse), ("--group-by", bool(group_by))):
        if given and follow:
            raise ConfigError(f"{flag} needs an end: leave out --follow")
        if given and as_ is not None:
            raise ConfigError(f"{flag} does not move a position: instead of --as {as_}, read unread:{as_}")
    if reverse and group_by:
        raise ConfigError("--group-by counts, so --reverse has no meaning: leave out one of them")
    if dry_run and as_ is not None:
        raise ConfigError(f"--dry-run looks at a RANGE: for what {as_} has not read yet, unread:{as_}")


async def _origins(client: "Client", wanted: list[str]) -> list[bytes]:
    """Return the origins of nodes by name, or those that begin with hexadecimal digits."""
    known = (await client.status()).origins
    found: list[bytes] = []
    for text in wanted:
        named = [each.origin for each in known if each.node_name == text]
        named = named or [
            each.origin for each in known if len(text) >= 4 and each.origin.hex().startswith(text.lower())
        ]
        if not named:
            names = ", ".join(sorted({each.node_name for each in known if each.node_name})) or "none"
            raise ConfigError(f"--origin {text!r:.60}: no node or origin is called so; nodes with records: {names}")
        found += named
    return found


def _check_name(name: str) -> None:
    from proglog.client.positions import check_name

    try:
        check_name(name)
    except InvalidRequestError as exc:
        raise ConfigError(f"--as: {exc}") from exc


class _Writer:
    """Writes what a consumer hands out, and knows what of it the kernel has taken."""

    def __init__(self, render: "Renderer", limit: int | None, *, eager: bool, as_is: bool) -> None:
        self.written: Cursor | None = None
        """The cursor after everything that the kernel has taken."""
        self._render = render
        self._left = limit
        """Records still wanted of those that are kept; ``None``: all that come."""
        self._flush_bytes = 0 if eager else FLUSH_BYTES
        self._as_is = as_is
        self._batches: deque[tuple[int, Cursor | None]] = deque()
        """Of each batch that was not taken yet: the bytes written when it ends, and the cursor after it."""

    async def write_all(self, consumer: "Consumer | NamedConsumer") -> None:
        output.values(self._render.head, as_is=True)
        try:
            await self._write_batches(consumer)
        except ProglogError:
            await self._flush(consumer)  # what came before the error is good
            raise
        finally:
            output.values(self._render.tail(), as_is=True)
        await self._flush(consumer)
        self._taken(consumer, consumer.cursor)

    async def _write_batches(self, consumer: "Consumer | NamedConsumer") -> None:
        if self._left == 0:
            return
        async for fetched in consumer:
            data, count = self._render.batch(fetched, self._left)
            output.values(data, as_is=self._as_is)
            self._batches.append((output.values_written(), consumer.cursor))
            if output.values_written() - output.values_taken() >= self._flush_bytes:
                await self._flush(consumer)
            if self._left is not None:
                self._left -= count
                if not self._left:
                    return

    async def _flush(self, consumer: "Consumer | NamedConsumer") -> None:
        try:
            await output.flush_values()
        finally:
            while self._batches and self._batches[0][0] <= output.values_taken():
                self._taken(consumer, self._batches.popleft()[1])

    def _taken(self, consumer: "Consumer | NamedConsumer", cursor: "Cursor | None") -> None:
        from proglog.client.named import NamedConsumer

        self.written = cursor
        if isinstance(consumer, NamedConsumer):
            consumer.processed(cursor)


def _say_gone(gone: "Gone") -> None:
    records = "sequence" if gone.end - gone.start == 1 else "sequences"
    diagnostics.note(
        f"gone: {gone.end - gone.start:,} {records} of origin {gone.origin.hex()[:8]},"
        f" {half_open(gone.start, gone.end)}: {gone.reason}"
    )


def _say_moved(addr: str, cause: ProglogError) -> None:
    diagnostics.note(f"{cause}; failing over to {addr}")


def _say_not_committed(cause: ProglogError) -> None:
    diagnostics.note(f"the position was not committed: {cause}")
