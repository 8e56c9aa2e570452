"""One record in full, and from there to the next."""

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from proglog.record.record import StoredRecord
from proglog.tui.dash import Dash
from proglog.tui.keymap import key_label
from proglog.tui.screens.reader import Page, Reader
from proglog.tui.state import DashState
from proglog.tui.views import records

_HINTED = (
    "record.next",
    "record.previous",
    "record.byte-before",
    "record.byte-next",
    "reader.copy",
    "record.copy-json",
)

Step = Callable[[int], StoredRecord | None]
"""Moves so many records on and returns the one there; ``None``: there is none."""


class RecordReader(Reader):
    """A record: its facts, its value as text or JSON, its bytes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "step(1)", "Next", id="record.next", tooltip="The next record"),
        Binding("p", "step(-1)", "Previous", id="record.previous", tooltip="The record before"),
        Binding("l,right", "byte(1)", "Byte", show=False, id="record.byte-next", tooltip="The next byte of the value"),
        Binding("h,left", "byte(-1)", "Byte", show=False, id="record.byte-before", tooltip="The byte before"),
        Binding("J", "byte_row(1)", "Row", show=False, id="record.row-next", tooltip="The byte below, a row on"),
        Binding("K", "byte_row(-1)", "Row", show=False, id="record.row-before", tooltip="The byte above, a row back"),
        Binding("Y", "copy_json", "Copy JSON", id="record.copy-json", tooltip="Copy the record as JSON"),
    ]

    def __init__(self, record: StoredRecord, step: Step, trail: str = "") -> None:
        """Prepare a box.

        Args:
            record: What it shows first.
            step: How it comes to another one.
            trail: Where the record was found, for the title.
        """
        self._record = record
        self._step = step
        self._byte = 0
        self._trail = trail
        super().__init__(
            self._words(),
            lambda state, locale, width: records.lines(self._record, locale, width, state.latest, cursor=self._byte),
            live=False,
        )

    def _words(self) -> str:
        return f"{self._trail}Record {self._record.offset:,}"

    def render_state(self, state: DashState) -> None:
        """Show the record, and the keys that work."""
        super().render_state(state)
        keys = {active.binding.id: key_label(key) for key, active in reversed(self.active_bindings.items())}
        following, previous, before, on, value, whole = (keys.get(name, "") for name in _HINTED)
        hint = f"{following}/{previous}: walk, {before}/{on}: bytes, {value}: copy, {whole}: JSON"
        self.query_one(Page).border_subtitle = Content(hint)

    def action_step(self, records_on: int) -> None:
        """Show another record."""
        record = self._step(records_on)
        if record is None:
            self.dash.announce(f"there is no record {'after' if records_on > 0 else 'before'} this one here")
            return
        self._record = record
        self._byte = 0
        self._width = -1
        page = self.query_one(Page)
        page.border_title = Content(self._words())
        page.scroll_home(animate=False)
        self.render_state(self.dash.state)

    def action_byte(self, by: int) -> None:
        """Move the cursor in the bytes of the value; the text above follows."""
        most = records.dumped(self._record) - 1
        self._byte = max(min(self._byte + by, most), 0)
        width, self._width = self._width, -1
        self.render_state(self.dash.state)
        page = self.query_one(Page)
        row = records.per_row(width)
        y = len(self._lines) - 1 - most // row + self._byte // row
        if not page.scroll_y <= y < page.scroll_y + page.size.height:
            page.scroll_to(y=y - page.size.height // 2, animate=False)

    def action_byte_row(self, by: int) -> None:
        """Move the cursor by a row of the dump."""
        self.action_byte(by * records.per_row(self._width))

    def action_copy(self) -> None:
        """Copy the value."""
        self.dash.copy(records.copied(self._record), f"the value at offset {self._record.offset}")

    def action_copy_json(self) -> None:
        """Copy the record."""
        copy_json(self.dash, self._record)


def copy_json(dash: Dash, record: StoredRecord) -> None:
    """Copy a record as JSON, or say how else to get it."""
    text = records.as_json(record)
    if text is None:
        dash.announce(
            f"too large for the clipboard: proglog consume {record.offset} --limit 1 -o jsonl", severity="warning"
        )
    else:
        dash.copy(text, f"record {record.offset} as JSON")
