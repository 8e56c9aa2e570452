"""What the browsers of records and batches share: a window on something long that is read as far as somebody looks.

::

    OffsetSpec --> source --> portions --> Window --> WindowTable
                            ^                       | the cursor comes near the last row read
                            '------- room ----------'

A browser that follows the end never waits for room; what is kept is bounded either way.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import Footer, Input

from proglog.client.offset_spec import OffsetSpec
from proglog.errors import DataLossError, OffsetOutOfRangeError, OtherLogError, ProglogError, UnavailableError
from proglog.observe.columns import AnyRow, FixedRow
from proglog.observe.safe_text import safe_text
from proglog.observe.words import count_words
from proglog.tui.screens.base import DashScreen
from proglog.tui.source import Place
from proglog.tui.state import DashState
from proglog.tui.table import Columns
from proglog.tui.views import header
from proglog.tui.widgets.filter_box import FilterBox
from proglog.tui.widgets.jump_bar import JumpBar
from proglog.tui.widgets.lines import Lines
from proglog.tui.widgets.panel import Panel
from proglog.tui.widgets.window_table import WindowTable
from proglog.tui.window import Window

KEPT = 2_000
"""Rows kept, the newest; their values are bounded by KEPT_BYTES."""
KEPT_BYTES = 32 * 2**20
_AHEAD = 200
"""Rows read beyond the cursor."""
_RETRY_SECONDS = 1.0

SizedRow = tuple[AnyRow, int]
"""A row and the bytes that it keeps in memory."""


class Browser(DashScreen[None]):
    """A screen with a window on something long."""

    COLUMNS: ClassVar[Columns] = ()
    EMPTY = ""
    """The text shown without rows."""
    FILTER_HINT = "text that rows contain, !text: not, ~pattern"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", id="browser.back", tooltip="Leave the box, the filter, this level"),
        Binding("slash", "ask('filter')", "Filter", key_display="/", id="browser.filter", tooltip="Rows that match"),
    ]

    def __init__(self, trail: Sequence[str]) -> None:
        """Prepare a browser.

        Args:
            trail: Where it is: the levels above it and itself, for its title.
        """
        super().__init__()
        self._trail = tuple(trail)
        self._window = Window(kept=KEPT, kept_bytes=KEPT_BYTES)
        self._tailing = False
        self._error = ""
        self._target_offset = -1
        """Offset that the cursor goes to when it has been read; -1: none."""
        self._read_to = -1
        """Offset after the last row read; -1: nothing was read yet."""
        self._question = "filter"
        self._room = asyncio.Event()
        self._changed = True
        # Held here, not looked up: keys and messages may come before the screen is built, and after it is taken down.
        self._table = WindowTable(self.COLUMNS, empty=self.EMPTY, id="browser")
        self._header = Lines(id="header")
        self._box = FilterBox()
        self._jump_bar = JumpBar()
        self._panel = Panel(*self._contents(), number=None, title=" > ".join(self._trail), name="browser")

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield self._header
        with Container(id="panels"):
            self._panel.add_class("-active")
            yield self._panel
        yield self._box
        yield Footer(show_command_palette=False, compact=True)

    def _contents(self) -> tuple[Widget, ...]:
        return (self._table, self._jump_bar)

    def on_mount(self) -> None:
        """Start to read."""
        super().on_mount()
        self._table.focus()

    def portions(self, spec: Place) -> AsyncIterator[tuple[list[SizedRow], OffsetSpec]]:
        """Yield rows from ``spec`` on, and the place after them."""
        raise NotImplementedError

    def _open(self, start: Place, *, tail: bool = False, cursor: int = -1) -> None:
        """Drop what is shown and read from ``start``.

        Args:
            start: Where.
            tail: The cursor stays at the end.
            cursor: Offset that it goes to.
        """
        self._window.clear()
        self._error = ""
        self._tailing = tail
        self._target_offset = cursor
        self._read_to = -1
        self._changed = True
        self._table.restart("last" if tail else None)
        self._read(start)
        self.render_state(self.dash.state)

    @work(exclusive=True, group="browser")
    async def _read(self, start: Place) -> None:
        spec = start
        while True:
            try:
                async for rows, following in self.portions(spec):
                    spec = following
                    self._take(rows, following.value)
                    await self._wait_for_room()
            except DataLossError as damage:
                spec = OffsetSpec.offset(damage.end)
                self._take([(self.damaged_row(damage.start, damage.end), 0)], damage.end)
            except OffsetOutOfRangeError as error:
                self._fail(str(error))
                if error.offset >= error.start:
                    return
                spec = OffsetSpec.offset(error.start)  # retention was faster
            except (UnavailableError, OtherLogError) as error:
                self._fail(str(error))
                await asyncio.sleep(_RETRY_SECONDS)
            except ProglogError as error:
                self._fail(str(error))
                return
            else:
                return

    def damaged_row(self, start: int, end: int) -> FixedRow:
        """Return the row for offsets that cannot be read."""
        raise NotImplementedError

    async def _wait_for_room(self) -> None:
        """Wait until the cursor comes near the last row read; a tail never waits."""
        while not self._tailing and self._target_offset < self._read_to and self._ahead > _AHEAD:
            self._room.clear()
            await self._room.wait()

    @property
    def _ahead(self) -> int:
        return len(self._window) - self._table.cursor

    def _take(self, rows: Iterable[SizedRow], reached: int) -> None:
        self._read_to = reached
        self._window.take(rows, self._table.needle)
        self._error = ""
        self._touch()

    def _fail(self, error: str) -> None:
        self._error = error
        self._target_offset = -1
        self._touch()

    def _touch(self) -> None:
        self._changed = True
        self.dash.mark_dirty()

    def render_state(self, state: DashState) -> None:
        """Bring the table up to date."""
        width = self.size.width
        self._header.set_lines([header.header_line(state, self.locale, width)])
        if self._changed and self._target_offset < max(self._read_to, 0):
            self._changed = False
            self._table.set_rows(self._window.rows)
            if self._target_offset >= 0:
                self._table.go_to(str(self._target_offset))
                self._target_offset = -1
        self._caption()

    def _notes(self) -> list[str]:
        """Return the text beside the title."""
        needle = self._table.needle
        return [f"/{safe_text(needle, 20, ascii_only=self.locale.ascii_only)}"] if needle else []

    def _caption(self) -> None:
        table, locale = self._table, self.locale
        error = self._error or table.needle_problem
        if error:
            words = safe_text(error, max(self.size.width - 10, 10), ascii_only=locale.ascii_only)
        else:
            more = f"{locale.pick('▼', 'v')} {count_words(table.below)} below, " if table.below else ""
            words = f"{more}{table.position}"
        self._panel.caption(words, note=" ".join(filter(None, self._notes())))

    def on_live_table_arranged(self) -> None:
        """Read on when the cursor comes near the end."""
        self._room.set()
        self.dash.mark_dirty()

    def action_ask(self, what: str) -> None:
        """Ask for a filter or for a place."""
        self._question = what
        self._box.ask(self._table.needle if what == "filter" else "", self.placeholder(what))

    def placeholder(self, what: str) -> str:
        """Return what the empty box says."""
        del what
        return self.FILTER_HINT

    def submitted(self, text: str) -> None:
        """Take what was typed, other than a filter."""

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while the text is typed."""
        if event.input.display and self._question == "filter":
            self._table.filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, or take the answer."""
        self._close_box()
        if self._question != "filter":
            self.submitted(event.value.strip())

    def _close_box(self) -> None:
        self._box.display = False
        self._table.focus()

    def action_back(self) -> None:
        """Leave the box, the filter, or the browser."""
        if self._box.display:
            if self._question == "filter":
                self._table.filter("")
            self._close_box()
        elif self._table.needle:
            self._table.filter("")
        else:
            self.dismiss()
