"""Read records. Writes values to stdout byte for byte, and nothing else.

RANGE is one of: start, end, 47, +2 (two after the start), -3 (the last three), 5:10 (half-open), :end, @1h (an hour
ago), @2026-01-02T03:04:05Z, @2h:@1h, cursor:TOKEN (from --print-cursor, valid on any node). Default: everything.
Stops at the end of the log unless --follow.

With --as NAME, resumes where NAME last stopped, on any node; RANGE only sets where the first run starts. The position is
committed after the values are written: a killed run repeats what came after its last commit, a run that ends in order
repeats nothing.

With several addresses, --addr A,B,C, fails over to the next node without missing or repeating a record.
"""

from collections import deque
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from proglog import clock
from proglog.cli import diagnostics, options, output
from proglog.cli.heap import keep_freed_memory
from proglog.cli.interruption import terminable
from proglog.cli.ranges import CURSOR, parse_start
from proglog.errors import ConfigError, InvalidRequestError, ProglogError
from proglog.types import half_open

if TYPE_CHECKING:
    from proglog.cli.render import Renderer
    from proglog.client import Client
    from proglog.client.consumer import Consumer
    from proglog.client.cursor import Cursor
    from proglog.client.fetched import Gone
    from proglog.client.named import NamedConsumer

FLUSH_BYTES = 256 * 1024


def main(
    range_: Annotated[str, typer.Argument(metavar="[RANGE]", help="Records to read; default: everything")] = "start",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait at the end of the log for more")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="Stop after so many records")] = None,
    as_: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Resume where NAME stopped, and keep its position in the cluster"),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="With --as: forget the position and start at RANGE")] = False,
    commit_interval: Annotated[
        float, typer.Option("--commit-interval", metavar="SECONDS", help="With --as: time between commits")
    ] = 5.0,
    print_cursor: Annotated[
        bool,
        typer.Option("--print-cursor", help="At the end, print on stderr the RANGE to resume from, valid on any node"),
    ] = False,
    skip_gone: Annotated[
        bool,
        typer.Option("--skip-gone", help="Skip records that a cursor or NAME wants but that are gone, and report them"),
    ] = False,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "--output",
            "-o",
            metavar="line|null|json|TEMPLATE",
            help="What follows a value; or JSON lines; or a template such as '{offset} {key} {value}'",
        ),
    ] = "line",
    raw: Annotated[bool, typer.Option("--raw", help="Write values to a terminal unescaped")] = False,
    *,
    agent: options.AgentFlags,
) -> None:
    from proglog.cli.render import renderer

    start, end = parse_start(range_, clock.now_ms())
    if limit is not None and limit < 0:
        raise ConfigError(f"--limit {limit}: expected 0 or more")
    if reset and as_ is None:
        raise ConfigError("--reset forgets a named position: name it with --as NAME")
    if not 0 < commit_interval <= 86_400:
        raise ConfigError(f"--commit-interval {commit_interval:g}: expected more than 0 and at most 86400 seconds")
    if as_ is not None:
        _check_name(as_)
    writer = _Writer(renderer(format_, harmless=output.is_terminal() and not raw), eager=follow, as_is=raw)

    async def read(client: "Client") -> None:
        async with terminable(), AsyncExitStack() as stack:
            consumer: Consumer | NamedConsumer
            if as_ is None:
                consumer = client.consume(
                    start,
                    end,
                    follow=follow,
                    limit=limit,
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
                    limit=limit,
                    reset=reset,
                    interval=commit_interval,
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
                    diagnostics.note(f"{CURSOR}{writer.written}")

    keep_freed_memory()
    agent.with_cluster(read)


def _check_name(name: str) -> None:
    from proglog.client.positions import check_name

    try:
        check_name(name)
    except InvalidRequestError as exc:
        raise ConfigError(f"--as: {exc}") from exc


class _Writer:
    """Writes what a consumer hands out, and knows what of it the kernel has taken."""

    def __init__(self, render: "Renderer", *, eager: bool, as_is: bool) -> None:
        self.written: Cursor | None = None
        """The cursor after everything that the kernel has taken."""
        self._render = render
        self._flush_bytes = 0 if eager else FLUSH_BYTES
        self._as_is = as_is
        self._batches: deque[tuple[int, Cursor | None]] = deque()
        """Of each batch that was not taken yet: the bytes written when it ends, and the cursor after it."""

    async def write_all(self, consumer: "Consumer | NamedConsumer") -> None:
        try:
            async for fetched in consumer:
                data, _ = self._render(fetched, None)
                output.values(data, as_is=self._as_is)
                self._batches.append((output.values_written(), consumer.cursor))
                if output.values_written() - output.values_taken() >= self._flush_bytes:
                    await self._flush(consumer)
        except ProglogError:
            await self._flush(consumer)  # what came before the error is good
            raise
        await self._flush(consumer)
        self._taken(consumer, consumer.cursor)

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
