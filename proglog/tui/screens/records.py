"""The record browser: the tail of the log as it grows, or its records from any place on.

Records arrive through the same call that consumers use. In a tail the cursor stays at the end. Moved off it, or with
the pause, the tail is *held*: what is shown stays, what comes is counted in a bar below, and collecting continues.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType

from proglog.client import jsonl
from proglog.client.offset_spec import DAY_MS, HOUR_MS, MINUTE_MS, OffsetSpec, OffsetSpecKind, parse_offset_spec
from proglog.errors import ConfigError, ProglogError
from proglog.observe import bundle
from proglog.observe.columns import FixedRow, Row
from proglog.observe.recording import file_name
from proglog.observe.words import count_words
from proglog.record.record import StoredRecord
from proglog.tui.screens.browser import Browser, SizedRow
from proglog.tui.screens.record import RecordReader, copy_json
from proglog.tui.source import Place
from proglog.tui.state import DashState
from proglog.tui.views import records
from proglog.tui.widgets.live_table import LiveTable
from proglog.tui.widgets.window_table import WindowTable
from proglog.types import OriginId, counted
from proglog.wire.model import OriginStatus

TAIL = 200
"""Records before the end that a tail starts with, and that are read before the first one when somebody goes up."""

_PAGE = 100
"""Records that are taken at once."""

MAX_COPIED = 48 * 1024
"""Characters that the clipboard gets at most: terminals take about 74,000 bytes of base64."""

_NAMES = {
    "<": "less_than_sign", ">": "greater_than_sign", "{": "left_curly_bracket", "}": "right_curly_bracket",
    "(": "left_parenthesis", ")": "right_parenthesis",
}  # fmt: skip


def _jump(back: str, forward: str, unit: str, ms: int) -> Iterator[Binding]:
    """Yield the keys for a unit of time back and forward."""
    for key, way, by in ((back, "back", -ms), (forward, "forward", ms)):
        tooltip = f"{'An' if unit == 'Hour' else 'A'} {unit.lower()} {way} from the record under the cursor"
        name = f"records.{unit.lower()}-{way}"
        yield Binding(
            _NAMES[key], f"jump({by})", f"{unit} {way}", show=False, key_display=key, id=name, tooltip=tooltip
        )


class RecordsScreen(Browser):
    """Browses and follows the records of the agent's log."""

    COLUMNS = records.COLUMNS
    EMPTY = "no records yet: proglog produce appends some"
    FILTER_HINT = "text, !text, ~pattern, key=a, header:name=b, origin=n1, value=~c"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "tail", "Tail", id="records.tail", tooltip="Follow the end of the log"),
        Binding(
            "o", "ask('goto')", "Go to", id="records.goto", tooltip="A place: 47, -100, start, end, @1h, @14:13:20"
        ),
        Binding("v", "mode", "View", id="records.hex", tooltip="Values as text, as bytes, as JSON"),
        Binding(
            "m", "mark", "Mark", id="records.mark", tooltip="Mark the record, for copying and exporting; again: not"
        ),
        Binding(
            "e", "export", "Export", id="records.export", tooltip="Write the marked records, or all shown, to a file"
        ),
        Binding("y", "copy", "Copy", id="records.copy", tooltip="Copy the value, control characters made visible"),
        Binding("Y", "copy_json", "Copy JSON", show=False, id="records.copy-json", tooltip="Copy the record as JSON"),
        *_jump("<", ">", "Minute", MINUTE_MS),
        *_jump("{", "}", "Hour", HOUR_MS),
        *_jump("(", ")", "Day", DAY_MS),
    ]

    def __init__(self, start: Place, trail: Sequence[str] = ("Records",), *, cursor: int = -1) -> None:
        """Prepare a browser.

        Args:
            start: Where it begins; the tail, if that is TAIL before the end.
            trail: Where it is, for the title.
            cursor: Offset that the cursor goes to.
        """
        super().__init__(trail)
        self._start = start
        self._cursor = cursor
        self._mode = records.Mode.TEXT
        self._origins: tuple[OriginStatus, ...] = ()
        self._writers: dict[OriginId, str] = {}
        """Who took the records of each origin."""
        self._reads = ""
        """The node whose log it is."""
        self._end_seen = 0
        """End of the log when this was opened: what comes after it is new."""

    def on_mount(self) -> None:
        """Start to read."""
        super().on_mount()
        self._go(self._start, cursor=self._cursor)

    @property
    def topic(self) -> str:
        """What the help explains."""
        return "records"

    def _go(self, start: Place, *, cursor: int = -1) -> None:
        self._end_seen = self._log_end
        self._open(start, tail=start == OffsetSpec.before_end(TAIL), cursor=cursor)

    @property
    def _log_end(self) -> int:
        latest = self.dash.state.latest
        return latest.log.end_offset if latest else 0

    async def portions(self, spec: Place) -> AsyncIterator[tuple[list[SizedRow], OffsetSpec]]:
        """Yield a page at a time: a batch alone may hold more records than are kept."""
        async for portion, following in self.dash.source.records(spec):
            for start in range(0, len(portion), _PAGE):
                page = portion[start : start + _PAGE]
                after = OffsetSpec.offset(page[-1].offset + 1, following.log)
                yield [(self._row(record), len(record.value)) for record in page], after

    def damaged_row(self, start: int, end: int) -> FixedRow:
        """Return the row for offsets that cannot be read."""
        return records.damaged_row(start, end, self.locale)

    def _row(self, record: StoredRecord) -> Row[records.ShownRecord]:
        latest = self.dash.state.latest
        if latest is not None and latest.origins is not self._origins:
            self._origins = latest.origins
            self._writers = {OriginId(each.origin): each.node_name for each in latest.origins}
        return records.row(record, self.locale, self._mode, self._writers.get(record.origin, ""))

    @property
    def _record(self) -> StoredRecord | None:
        """The record under the cursor."""
        row = self._table.row
        return row.source if row is not None and isinstance(row.source, StoredRecord) else None

    def render_state(self, state: DashState) -> None:
        """Bring table and bar up to date."""
        watched = state.latest.node.name if state.latest else ""
        before, self._reads = self._reads, watched or self._reads
        if before and self._reads != before:
            self._change_node()
        super().render_state(state)
        new = self._new
        words = f"{self.locale.pick('▼', 'v')} {count_words(new)} new (t)" if new else ""
        self._jump_bar.set_text(words)

    def _change_node(self) -> None:
        """Another node is watched: its offsets are its own, so that only the end, or a time, is the same place."""
        record = self._record
        if self._tailing or record is None:
            self._go(OffsetSpec.before_end(TAIL))
        else:
            self._go(OffsetSpec.at_time(record.timestamp_ms))
        self.dash.announce(f"these are the records of {self._reads}, with its offsets", severity="warning")

    @property
    def _new(self) -> int:
        """How many records came that are not shown."""
        if self._tailing:
            return self._window.new
        last = next((row.source for row in reversed(self._window.rows) if isinstance(row.source, StoredRecord)), None)
        return max(self._log_end - max(self._end_seen, last.offset + 1), 0) if last else 0

    def _notes(self) -> list[str]:
        held = self.locale.pick("‖ held", "|| held") if self._window.held else "tail"
        mode = "" if self._mode is records.Mode.TEXT else self._mode.value
        return [held if self._tailing else "", mode, *super()._notes()]

    def on_live_table_arranged(self) -> None:
        """Hold a tail whose cursor was moved off its end."""
        if self._tailing and not self._window.held and not self._table.at_end:
            self._window.hold()
        super().on_live_table_arranged()

    def on_window_table_beyond(self, event: WindowTable.Beyond) -> None:
        """Go on with a held tail; reads what is before the first row."""
        if event.edge == "last":
            if self._window.held:
                self._release()
        elif not self._table.needle:
            self._read_before()

    def _read_before(self) -> None:
        first = next((row.source for row in self._window.rows if isinstance(row.source, StoredRecord)), None)
        latest = self.dash.state.latest
        start = latest.log.start_offset if latest else 0
        if first is not None and first.offset > start:
            self._go(OffsetSpec.offset(max(first.offset - TAIL, start)), cursor=first.offset - 1)

    def on_live_table_opened(self, event: LiveTable.Opened) -> None:
        """Show everything about a record."""
        record = event.row.source
        if isinstance(record, StoredRecord):
            if self._tailing:
                self._hold()
            trail = "".join(f"{level} > " for level in self._trail[1:])
            self.app.push_screen(RecordReader(record, self._step, trail))

    def _step(self, records_on: int) -> StoredRecord | None:
        """Move the cursor and return the record there; ``None`` at the edge of what was read."""
        before = self._table.cursor
        self._table.shift(records_on)
        return self._record if self._table.cursor != before else None

    def toggle_pause(self) -> bool:
        """Hold a tail, or resume it: here the pause is that of the records."""
        if not self._tailing:
            self.dash.announce("nothing to hold: t follows the end of the log")
        elif self._window.held:
            self._release()
        else:
            self._hold()
        return True

    def step_time(self, steps: int) -> bool:
        """Go through the time of the records: a minute for a second of the panels, an hour for thirty."""
        self.action_jump(MINUTE_MS * steps if abs(steps) < 30 else HOUR_MS * (1 if steps > 0 else -1))
        return True

    def _hold(self) -> None:
        self._window.hold()
        self._touch()
        self.dash.flush()

    def _release(self) -> None:
        self._window.release()
        self._touch()
        self.dash.flush()
        self._table.shift(len(self._window.rows))

    def action_tail(self) -> None:
        """Follow the end of the log."""
        if self._tailing:
            self._release()
        else:
            self._go(OffsetSpec.before_end(TAIL))

    def on_jump_bar_clicked(self) -> None:
        """Go to what is new."""
        self.action_tail()

    def action_mode(self) -> None:
        """Show values as text, as bytes, as JSON."""
        self._mode = self._mode.following
        self._window.remake(lambda row: self._row(row.source) if isinstance(row.source, StoredRecord) else row)
        self._touch()
        self.dash.flush()

    def action_copy(self) -> None:
        """Copy the value under the cursor."""
        record = self._record
        if record is not None:
            self.dash.copy(records.copied(record), f"the value at offset {record.offset}")

    def action_copy_json(self) -> None:
        """Copy the record under the cursor as JSON; or the marked ones, a line for each."""
        marked = self._marked
        if marked:
            text = "\n".join(jsonl.encode(each).decode() for each in marked)
            if len(text) <= MAX_COPIED:
                self.dash.copy(text, f"{len(marked)} records as JSON")
            else:
                self.dash.announce("too large for the clipboard: e writes them to a file", severity="warning")
            return
        record = self._record
        if record is not None:
            copy_json(self.dash, record)

    @property
    def _marked(self) -> list[StoredRecord]:
        return [row.source for row in self._table.chosen if isinstance(row.source, StoredRecord)]

    def action_mark(self) -> None:
        """Mark the record under the cursor, or take its mark away."""
        if self._tailing and not self._window.held:
            self._hold()
        self._table.toggle_chosen()

    @work(group="export", exclusive=True)
    async def action_export(self) -> None:
        """Write the marked records, or all that are shown, to a file in the working directory."""
        shown = [row.source for row in self._table.shown if isinstance(row.source, StoredRecord)]
        chosen = self._marked or shown
        if not chosen:
            self.dash.announce("there is no record here to write", severity="warning")
            return
        path = Path.cwd() / file_name(self._reads, self.dash.clock()).replace(".sqlite", ".jsonl")
        data = b"".join(jsonl.encode(each) + b"\n" for each in chosen)
        try:
            await asyncio.to_thread(bundle.write, path, data)
        except ProglogError as error:
            self.dash.announce(str(error), severity="error")
        else:
            self._table.clear_chosen()
            self.dash.announce(f"wrote {counted(len(chosen), 'record')} to {path}")

    def action_jump(self, ms: int) -> None:
        """Go so many milliseconds forward or back from the record under the cursor."""
        record = self._record
        if record is not None:
            self._go_to(OffsetSpec.at_time(max(record.timestamp_ms + ms, 0)))

    def placeholder(self, what: str) -> str:
        """Return what the empty box says."""
        return "47, -100, start, end, @1h, @14:13:20" if what == "goto" else super().placeholder(what)

    def submitted(self, text: str) -> None:
        """Go to a place."""
        try:
            spec = parse_offset_spec(text.replace(",", ""), round(self.dash.clock() * 1000), self.locale.timezone)
        except ConfigError as error:
            self.dash.announce(str(error), severity="warning")
        else:
            self._go_to(spec)

    def _go_to(self, spec: OffsetSpec) -> None:
        latest = self.dash.state.latest
        newest = max((segment.max_timestamp_ms for segment in latest.segments), default=0) if latest else 0
        if spec == OffsetSpec.before_end(0) or (spec.kind is OffsetSpecKind.TIME_MS and spec.value > newest > 0):
            if spec.kind is OffsetSpecKind.TIME_MS:
                self.dash.announce(f"the log ends at {self.locale.date_clock(newest / 1000)}")
            spec = OffsetSpec.before_end(TAIL)
        self._go(spec)
