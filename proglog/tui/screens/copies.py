"""The copies of one origin: its stretches, who has each, and from there to the records in it."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from proglog.observe.copies_view import CopiesRow, HeldStretch
from proglog.observe.spans import Line, Locale
from proglog.tui.keymap import key_label
from proglog.tui.panels.copies import page
from proglog.tui.screens.reader import Page, Reader
from proglog.tui.screens.records import RecordsScreen
from proglog.tui.source import OriginRange
from proglog.tui.state import DashState

_HINTED = ("reader.back", "copies.next", "copies.previous", "copies.open")


class CopiesReader(Reader):
    """The page of an origin; a cursor is on one of its stretches."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "choose(1)", "Next", id="copies.next", tooltip="The next stretch"),
        Binding("p", "choose(-1)", "Previous", id="copies.previous", tooltip="The stretch before"),
        Binding("enter", "open", "Records", id="copies.open", tooltip="The records of this stretch"),
    ]

    def __init__(self, row: CopiesRow, locale: Locale) -> None:
        self._origin, self._start = row.origin, -1
        super().__init__(page.title(row, locale), self._page)

    def _page(self, state: DashState, locale: Locale, width: int) -> list[Line]:
        stretches = self._stretches(state)
        return page.lines(self._origin, state, locale, width, self._at(stretches))

    def _stretches(self, state: DashState) -> list[HeldStretch]:
        row = page.row_of(self._origin, state)
        return page.listed(row) if row is not None else []

    def _at(self, stretches: list[HeldStretch]) -> int:
        """Return which stretch the cursor is on: the one that holds the record where it was, while there is one."""
        return next((at for at, each in enumerate(stretches) if each.start <= self._start < each.end), 0)

    def render_state(self, state: DashState) -> None:
        """Show the page, and the keys that work."""
        super().render_state(state)
        keys = {active.binding.id: key_label(key) for key, active in reversed(self.active_bindings.items())}
        back, following, previous, records = (keys.get(name, "") for name in _HINTED)
        self.query_one(Page).border_subtitle = Content(
            f"{back}: back, {following}/{previous}: choose, {records}: its records"
        )

    def action_choose(self, by: int) -> None:
        """Choose another stretch."""
        state = self.dash.state
        stretches = self._stretches(state)
        if not stretches:
            return
        chosen = stretches[min(max(self._at(stretches) + by, 0), len(stretches) - 1)]
        self._start = chosen.start
        self.render_state(state)
        box = self.query_one(Page)
        about = page.placed(self._origin, state, self.locale, box.scrollable_content_region.width)
        box.scroll_to(y=next((y for y, (_, each) in enumerate(about) if each == chosen), 0), animate=False)

    def action_open(self) -> None:
        """Show the records of the chosen stretch, as the log of the watched agent has them."""
        stretches = self._stretches(self.dash.state)
        if not stretches:
            self.dash.announce("nothing is known of this origin now", severity="warning")
            return
        chosen = stretches[self._at(stretches)]
        trail = (self._title, self.locale.range_words(chosen.start, chosen.end))
        self.app.push_screen(RecordsScreen(OriginRange(self._origin, chosen.start, chosen.end), trail))
