"""A table over a window of something longer: it says when the cursor wants to go past an edge."""

from dataclasses import dataclass

from textual.message import Message

from proglog.tui.widgets.live_table import Edge, LiveTable


class WindowTable(LiveTable):
    """A live table whose rows are a part of what there is."""

    @dataclass
    class Beyond(Message):
        """The cursor was sent past the first or the last row, or to the very end."""

        table: "WindowTable"
        edge: Edge

    @property
    def _last(self) -> int:
        return len(self._arranged) - 1

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        before = self._cursor
        super().action_move(rows)
        self._report_edge(before, rows)

    def action_half(self, pages: int) -> None:
        """Move the cursor by half pages."""
        before = self._cursor
        super().action_half(pages)
        self._report_edge(before, pages)

    def action_edge(self, index: int) -> None:
        """Move the cursor to the first (0) or the last (-1) row."""
        before = self._cursor
        super().action_edge(index)
        if index == -1:
            self.post_message(self.Beyond(self, "last"))
        elif before == 0 and self._arranged:
            self.post_message(self.Beyond(self, "first"))

    def _report_edge(self, before: int, rows: int) -> None:
        """Say that the cursor could not move, for it was at an edge."""
        if not self._arranged:
            return
        if rows < 0 and before == 0:
            self.post_message(self.Beyond(self, "first"))
        elif rows > 0 and before >= self._last:
            self.post_message(self.Beyond(self, "last"))

    def restart(self, sticky: Edge | None) -> None:
        """Forget where the cursor was: other rows will come."""
        self.stick(sticky)
        self._cursor, self._cursor_key = 0, ""
        self.set_rows([])

    def go_to(self, key: str) -> None:
        """Move the cursor to the row with this key, if it is there."""
        place = next((index for index, row in enumerate(self._arranged) if row.key == key), None)
        if place is not None:
            self._move_to(place)

    def shift(self, rows: int) -> None:
        """Move the cursor by so many rows, or to the edge."""
        super().action_move(rows)

    @property
    def at_end(self) -> bool:
        """Whether the cursor is on the last row."""
        return self._cursor >= self._last
