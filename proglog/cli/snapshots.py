"""Verbs that print a snapshot - members, status, lag, segments - now, again on every change, or from a recording.

The past comes from a recording of the dashboard, ``--replay FILE``, at a moment of it, ``--at T``::

    +90  -30            seconds from its start; back from its end
    @14:13  @14:13:20  @1h   a time as in a RANGE, counted back from its end
    2026-09-21T14:13:20Z     a moment; local without a zone, or UTC with --utc; a blank may stand for the T
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proglog.cli import diagnostics, names, options, output, zone
from proglog.cli.shapes import Shape
from proglog.client.offset_spec import parse_time_ms
from proglog.errors import ConfigError, InvalidRequestError
from proglog.observe.columns import Item
from proglog.quantities import seconds
from proglog.wire.model import ClusterSnapshot

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.observe.frame import Frame

WATCH_INTERVAL = 0.5
PAST = "The past"

Replay = Annotated[
    Path | None,
    typer.Option(
        "--replay", metavar="FILE", help="Read a dashboard recording instead of a live agent", rich_help_panel=PAST
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="T",
        help="Time in the recording: +90s from its start, -30s from its end, @HH:MM:SS, ISO 8601; default: its end",
        rich_help_panel=PAST,
    ),
]

_DATE = re.compile(r"\d{4}-", re.ASCII)
_FRAME_MS = 1000
_EXPECTED = "expected +90s, -30s, @14:13:20 or 2026-09-21T14:13:20Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFlags:
    """The flags that read a recording instead of an agent."""

    replay: Replay = None
    at: At = None


def verb(
    items: Callable[[ClusterSnapshot], Sequence[Item]],
    table: output.Table[Item],
    *,
    whole: Callable[[ClusterSnapshot], object] | None = None,
    shape: Shape | None = None,
) -> Callable[..., None]:
    """Return a verb that prints a table of a snapshot.

    Args:
        items: What the lines of the table are.
        table: How they are printed.
        whole: Makes the document of a verb that is not a list of the lines, of ``shape``.
        shape: Of ``whole``.
    """

    def main(
        output_: options.Output = output.Format.TABLE,
        watch: options.Watch = False,
        *,
        past: PastFlags,
        agent: options.AgentFlags,
    ) -> None:
        show = listed(items, table, output_, watch=watch)
        if whole is not None and shape is not None and output_ is not output.Format.TABLE:
            show = document(whole, shape, output_, watch=watch)
        run(show, agent, past, watch=watch)

    return main


def listed(
    items: Callable[[ClusterSnapshot], Sequence[Item]],
    table: output.Table[Item],
    format_: output.Format,
    *,
    watch: bool,
) -> Callable[[ClusterSnapshot], None]:
    """Return what writes the items of one snapshot, or with ``watch`` of one after the other."""
    if not watch:
        return lambda snapshot: output.items(items(snapshot), table, format_)
    changes = output.Changes(table, format_)
    return lambda snapshot: changes.show(items(snapshot), snapshot.taken_at_ms)


def document(
    whole: Callable[[ClusterSnapshot], object], shape: Shape, format_: output.Format, *, watch: bool
) -> Callable[[ClusterSnapshot], None]:
    """As :func:`listed`, for a verb that writes one document of a snapshot."""
    if watch and format_ is not output.Format.JSONL:
        raise ConfigError(f"--watch has no end and -o {format_} is one document: use -o jsonl, a line per change")
    return lambda snapshot: output.one(whole(snapshot), shape, format_)


def run(
    write: Callable[[ClusterSnapshot], None],
    agent: options.AgentFlags,
    past: PastFlags,
    *,
    watch: bool,
    segments: bool = False,
) -> None:
    """Write a snapshot, or with ``watch`` every one; ends when the agent does, or when interrupted.

    Raises:
        ConfigError: Flags contradict each other, or ``at`` is no time.
        ProglogError: Agent or recording cannot be used.
    """
    if past.replay is None and past.at is not None:
        raise ConfigError("--at needs --replay FILE: a live agent has no past")
    if past.replay is not None:
        if watch:
            raise ConfigError("--watch and --replay cannot be combined: a recording does not change")
        write(_past(past.replay, past.at))
        return

    async def ask(client: "Client") -> None:
        if not watch:
            snapshot = await client.status(segments=segments)
            names.remember("members", (member.name for member in snapshot.members))
            write(snapshot)
            return
        async for snapshot in client.watch(min_interval=WATCH_INTERVAL, segments=segments):
            write(snapshot)
            output.flush()

    agent.with_client(ask)


def _past(path: Path, at: str | None) -> ClusterSnapshot:
    from proglog.observe.recording import load

    frames = load(path).frames
    if not frames:
        raise InvalidRequestError(f"recording {path} is empty")
    frame = frames[-1] if at is None else frame_at(frames, at)
    if not frame.live:
        name = frame.outline.node.name
        diagnostics.note(f"{name} was unreachable at {_clock(frame.at)}; this is its last snapshot before")
    return frame.snapshot


def frame_at(frames: "Sequence[Frame]", text: str) -> "Frame":
    """Return the last of ``frames``, which are at least one, that is not after the moment ``text``.

    Raises:
        ConfigError: ``text`` is no moment, or none that the recording covers.
    """
    start, end = frames[0].at, frames[-1].at
    moment = _moment(text, start, end)
    if not start - 1 < moment < end + 1:  # a frame is a second long
        raise ConfigError(f"--at {text}: the recording covers {_clock(start)} to {_clock(end)}")
    before = [frame for frame in frames if frame.at <= moment + 0.001]
    return before[-1] if before else frames[0]


def _moment(text: str, start: float, end: float) -> float:
    """Return seconds since 1970."""
    span = seconds(text[1:], bare="s") if text[:1] in ("+", "-") else None
    if span is not None:
        return start + span if text[0] == "+" else end - span
    try:
        if text.startswith("@"):
            return parse_time_ms(text[1:], round(end * 1000) + _FRAME_MS, zone.current()) / 1000
        if _DATE.match(text):
            return parse_time_ms(text, 0, zone.current()) / 1000
    except ConfigError:
        pass  # in the words of this flag
    raise ConfigError(f"--at {text!r:.60} is no time; {_EXPECTED}")


def _clock(at: float) -> str:
    return zone.clock(round(at * 1000))
