"""Jump mode: every row in view has a letter, and the next key goes there."""

from string import ascii_letters
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen

from proglog.tui.widgets.live_table import LiveTable


class Jump(ModalScreen[None]):
    """Takes one key. What is below it is seen as it is, with its letters."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Stay", show=False, id="jump.stay", tooltip="Stay where the cursor is"),
    ]

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self._tables = [each for each in below.query(LiveTable) if each.region and each.display]
        letters = iter(ascii_letters)
        self._targets: dict[str, tuple[LiveTable, str]] = {}
        for table in self._tables:
            labels = dict(zip(table.keys_in_view, letters, strict=False))
            table.label(labels)
            self._targets |= {letter: (table, key) for key, letter in labels.items()}

    def on_key(self, event: events.Key) -> None:
        """Go to the row of a letter; any other key stays."""
        event.stop()
        table, key = self._targets.get(event.character or "", (None, ""))
        self.dismiss()
        if table is not None:
            table.focus()
            table.choose(lambda row: row.key == key)

    def on_unmount(self) -> None:
        """Take the letters away."""
        for table in self._tables:
            table.label({})
