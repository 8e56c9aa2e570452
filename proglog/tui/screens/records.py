"""The record browser: the tail of the log as it grows, or its records from any offset on.

Records arrive through the same call that consumers use. What is kept is bounded; while the cursor is at the end, new
records push it on, and when it is not, they wait below with their count in the frame.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import Footer, Input

from proglog.client.place import Place
from proglog.client.safe_text import safe_text
from proglog.client.words import count_words
from proglog.errors import ProglogError, UnavailableError
from proglog.record.record import StoredRecord
from proglog.tui.screens.base import DashScreen
from proglog.tui.screens.reader import Reader
from proglog.tui.state import DashState
from proglog.tui.table import LazyRow
from proglog.tui.views import header, records
from proglog.tui.widgets.live_table import LiveTable
from proglog.tui.widgets.painted import Lines
from proglog.tui.widgets.panel import Panel

KEPT = 2_000
"""Records kept, the newest; their values are bounded by KEPT_BYTES."""
KEPT_BYTES = 32 * 2**20
TAIL = 200
"""Records before the end that a tail starts with."""
_AHEAD = 200
"""Records read beyond the cursor while browsing."""
_RETRY_SECONDS = 1.0


class RecordsScreen(DashScreen[None]):
    """Browses and follows the records of the agent's log."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", id="records.back"),
        Binding("slash", "ask('filter')", "Filter", key_display="/", id="records.filter"),
        Binding("o", "ask('goto')", "Go to", id="records.goto", tooltip="An offset; -100: so many before the end"),
        Binding("t", "tail", "Tail", id="records.tail", tooltip="Follow the end of the log"),
        Binding("v", "hex", "Hex", id="records.hex", tooltip="Values as text or as bytes"),
        Binding("y", "copy", "Copy", id="records.copy", tooltip="Copy the value, control characters made visible"),
    ]

    def __init__(self, start: Place) -> None:
        """Prepares a browser that begins at ``start``."""
        super().__init__()
        self._start = start
        self._records: deque[StoredRecord] = deque()
        self._rows: deque[LazyRow] = deque()
        self._bytes = 0
        self._hex = False
        self._tailing = False
        self._trouble = ""
        self._asked = "filter"
        self._room = asyncio.Event()
        self._changed = True

    def compose(self) -> ComposeResult:
        """Builds the screen."""
        yield Lines(id="header")
        table = LiveTable(records.COLUMNS, empty="no records yet", id="records")
        with Container(id="panels"):
            panel = Panel(table, number=6, title="Records", name="records")
            panel.add_class("-active")
            yield panel
        yield Input(id="filter", compact=True)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Starts to read."""
        super().on_mount()
        self.query_one("#filter").display = False
        self._table.focus()
        self._open(self._start)

    @property
    def topic(self) -> str:
        """What the help explains."""
        return "records"

    @property
    def _table(self) -> LiveTable:
        return self.query_one(LiveTable)

    def _open(self, start: Place) -> None:
        """Drops what is shown and reads from ``start``."""
        self._records.clear()
        self._rows.clear()
        self._bytes = 0
        self._trouble = ""
        self._tailing = start == Place.before_end(TAIL)
        self._changed = True
        self._table.stick("last" if self._tailing else None)
        self._read(start)
        self.show(self.dash.state)

    @work(exclusive=True, group="records")
    async def _read(self, start: Place) -> None:
        place = start
        while True:
            try:
                async for portion in self.dash.source.records(place):
                    self._take(portion)
                    place = Place.offset(self._records[-1].offset + 1) if self._records else place
                    await self._wait_for_room()
            except UnavailableError as error:
                self._say(str(error))
                await asyncio.sleep(_RETRY_SECONDS)
            except ProglogError as error:
                self._say(str(error))
                return

    async def _wait_for_room(self) -> None:
        """Waits until the cursor comes near the last record read; a tail never waits."""
        while not self._tailing and len(self._rows) - self._table.cursor > _AHEAD:
            self._room.clear()
            await self._room.wait()

    def _take(self, portion: Sequence[StoredRecord]) -> None:
        for record in portion[-KEPT:]:
            self._records.append(record)
            self._rows.append(self._row(record))
            self._bytes += len(record.value)
        while len(self._records) > KEPT or (self._bytes > KEPT_BYTES and len(self._records) > 1):
            self._bytes -= len(self._records.popleft().value)
            self._rows.popleft()
        self._trouble = ""
        self._changed = True
        self.dash.mark_dirty()

    def _row(self, record: StoredRecord) -> LazyRow:
        make = partial(records.row, record, self.look, as_hex=self._hex)
        return LazyRow(key=str(record.offset), make=make, source=record)

    def _say(self, trouble: str) -> None:
        self._trouble = trouble
        self._changed = True
        self.dash.mark_dirty()

    def show(self, state: DashState) -> None:
        """Brings the table up to date."""
        width = self.size.width
        self.query_one("#header", Lines).show([header.header_line(state, self.look, width)])
        if self._changed:
            self._changed = False
            self._table.show(list(self._rows))
        self._caption()

    def _caption(self) -> None:
        table, look = self._table, self.look
        notes = ["tail" if self._tailing else "", "hex" if self._hex else ""]
        if table.needle:
            notes.append(f"/{safe_text(table.needle, 20, ascii_only=look.ascii_only)}")
        if self._trouble:
            words = safe_text(self._trouble, max(self.size.width - 10, 10), ascii_only=look.ascii_only)
        else:
            new = f"{look.pick('▼', 'v')} {count_words(table.below)} below, " if table.below else ""
            words = f"{new}{table.position}"
        self.query_one(Panel).caption(words, note=" ".join(filter(None, notes)))

    def on_live_table_arranged(self) -> None:
        """Reads on when the cursor comes near the end."""
        self._room.set()
        self.dash.mark_dirty()

    def on_live_table_opened(self, event: LiveTable.Opened) -> None:
        """Shows everything about a record."""
        record = event.row.source
        if isinstance(record, StoredRecord):
            title = f"Record {record.offset:,}"
            text = partial(records.lines, record)
            self.dash.push_screen(Reader(title, lambda _state, look, width: text(look, width), live=False))

    def action_tail(self) -> None:
        """Follows the end of the log."""
        self._open(Place.before_end(TAIL))

    def action_hex(self) -> None:
        """Shows values as text or as bytes."""
        self._hex = not self._hex
        self._rows = deque(map(self._row, self._records))
        self._changed = True
        self.show(self.dash.state)

    def action_copy(self) -> None:
        """Copies the value under the cursor."""
        row = self._table.row
        if row is not None and isinstance(row.source, StoredRecord):
            self.dash.copy(records.copied(row.source), f"the value at offset {row.key}")

    def action_ask(self, what: str) -> None:
        """Asks for a filter or for a place."""
        self._asked = what
        box = self.query_one("#filter", Input)
        box.placeholder = "text that rows contain, !text: not" if what == "filter" else "offset, or -100 from the end"
        box.display = True
        box.value = self._table.needle if what == "filter" else ""
        box.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filters while the text is typed."""
        if event.input.display and self._asked == "filter":
            self._table.filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keeps the filter, or goes to the place."""
        self._close_box()
        if self._asked == "goto":
            self._go_to(event.value.strip().replace(",", ""))

    def _go_to(self, text: str) -> None:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            self.dash.tell(f"{text!r} is no place: expected an offset, or -100 for so many from the end")
        elif text.startswith("-"):
            self._open(Place.before_end(int(digits)))
        else:
            self._open(Place.offset(int(digits)))

    def _close_box(self) -> None:
        self.query_one("#filter").display = False
        self._table.focus()

    def action_back(self) -> None:
        """Leaves the box, the filter, or the browser."""
        if self.query_one("#filter").display or self._table.needle:
            self._table.filter("")
            self._close_box()
        else:
            self.dismiss()
