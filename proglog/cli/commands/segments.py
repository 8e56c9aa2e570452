"""List the segments of an agent's log: offsets, records, bytes, time range, index. With --verify, check them.

With RANGE, only those that hold some of its records; --dry-run prints what RANGE resolves to.

--verify reads one segment, given by its first offset, or all of them, and checks every batch and the index while the
agent keeps serving. Changes nothing; exits 1 on damage. `proglog verify DIR` checks a stopped agent's directory.

    proglog segments
    proglog segments @1h
    proglog segments --verify all
"""

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, options, output, selection, tables
from proglog.cli.exit_codes import ExitCode
from proglog.cli.output import Format, Table
from proglog.cli.shapes import Shape
from proglog.cli.snapshots import PastFlags, listed, run
from proglog.errors import ConfigError, UnavailableError
from proglog.observe.columns import Column
from proglog.observe.spans import Role
from proglog.tui.panels.segments.columns import SegmentFacts
from proglog.types import counted, half_open
from proglog.wire.model import Segment, Verified

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.wire.model import DamagedRange

VERIFIED = Shape("verification", Verified, many=False)
SHAPES = (tables.SEGMENTS_SHAPE, VERIFIED, selection.RESOLVED)
PROBLEMS: Table["DamagedRange"] = Table(
    columns=(
        Column(title="OFFSETS", value=lambda problem: half_open(problem.start_offset, problem.end_offset), limit=40),
        Column(title="WHAT", value=lambda problem: problem.detail, limit=200),
    ),
    shape=VERIFIED,
    role=lambda _: Role.BAD,
)
_ALL = "all"


def main(
    range_: Annotated[str, typer.Argument(metavar="[RANGE]", help="Records; default: all")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what RANGE resolves to")] = False,
    output_: options.Output = output.Format.TABLE,
    watch: options.Watch = False,
    verify: Annotated[
        str | None,
        typer.Option("--verify", metavar="OFFSET|all", help="Check the segment that begins at OFFSET, or all"),
    ] = None,
    *,
    past: PastFlags,
    agent: options.AgentFlags,
) -> None:
    if verify is not None and (watch or past.replay or past.at):
        raise ConfigError("--verify checks an agent's live log and cannot be combined with --watch, --replay or --at")
    if (range_ or dry_run) and (watch or past.replay or past.at):
        raise ConfigError(
            "RANGE is resolved by a live agent, once: it cannot be combined with --watch, --replay or --at"
        )
    if range_ or dry_run:
        selection.check(range_ or selection.EVERYTHING)
    base_offset = _base_offset(verify) if verify is not None else None
    if dry_run:
        selection.show(
            agent.with_client(lambda client: selection.resolve(client, range_ or selection.EVERYTHING)), output_
        )
        return
    if verify is not None:
        if range_ and base_offset is not None:
            raise ConfigError(
                "--verify OFFSET names one segment: with RANGE, --verify all checks those that it touches"
            )
        done = agent.with_client(lambda client: _verify_range(client, base_offset, range_))
        _write(done, output_)
        if done.problems:
            raise typer.Exit(ExitCode.REFUSED)
        return

    if range_:

        async def some(client: "Client") -> list[SegmentFacts]:
            found = await selection.resolve(client, range_)
            facts = tables.segments(await client.status(segments=True))
            return [each for each in facts if _touches(each.segment, found)]

        output.items(agent.with_client(some), tables.SEGMENTS, output_)
        return
    show = listed(tables.segments, tables.SEGMENTS, output_, watch=watch)
    run(show, agent, past, watch=watch, segments=True)


def _touches(segment: Segment, found: selection.SelectionShape) -> bool:
    """Return whether a segment holds records of a range."""
    end = segment.end_offset if found.end_offset is None else found.end_offset
    return segment.base_offset < end and found.start_offset < segment.end_offset


async def _verify_range(client: "Client", base_offset: int | None, range_: str) -> Verified:
    """Verify one segment, all of them, or those that a range touches."""
    if not range_:
        return await _verify(client, base_offset)
    found = await selection.resolve(client, range_)
    segments = (await client.status(segments=True)).segments
    total = Verified(bytes_done=0, bytes_total=0, batches=0, records=0, finished=True)
    for each in segments:
        if _touches(each, found):
            done = await _verify(client, each.base_offset)
            total = Verified(
                bytes_done=total.bytes_done + done.bytes_done,
                bytes_total=total.bytes_total + done.bytes_total,
                batches=total.batches + done.batches,
                records=total.records + done.records,
                problems=(*total.problems, *done.problems),
                finished=True,
            )
    return total


def _base_offset(text: str) -> int | None:
    if text == _ALL:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ConfigError(f"--verify {text!r:.40}: expected the first offset of a segment, or all")
    return int(text)


async def _verify(client: "Client", base_offset: int | None) -> "Verified":
    done: Verified | None = None
    with ExitStack() as stack:
        async for following in client.verify(base_offset):
            if done is None:
                progress = diagnostics.progress("verifying", following.bytes_total, unit="bytes")
                meter = stack.enter_context(progress)
            meter.advance(following.bytes_done - (done.bytes_done if done else 0))
            done = following
    if done is None or not done.finished:
        raise UnavailableError(f"{client.addr} ended the verification before it was complete")
    return done


def _write(done: "Verified", format_: Format) -> None:
    if format_ is not Format.TABLE:
        output.one(done, VERIFIED, format_)
        return
    whole = f"{counted(done.batches, 'batch')}, {counted(done.records, 'record')}: every batch is whole, and the index finds them"
    output.items(done.problems, replace(PROBLEMS, empty=whole), format_)
