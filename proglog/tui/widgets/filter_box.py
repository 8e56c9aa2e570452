"""The line at the bottom that asks for a filter, or for anything else in one line."""

from textual.widgets import Input


class FilterBox(Input):
    """Hidden while nothing is asked."""

    def __init__(self, placeholder: str = "") -> None:
        super().__init__(id="filter", placeholder=placeholder, compact=True)

    def on_mount(self) -> None:
        """Hide until something is asked."""
        self.display = False

    def ask(self, value: str, placeholder: str | None = None) -> None:
        """Appear with the focus and a text in it."""
        if placeholder is not None:
            self.placeholder = placeholder
        self.display = True
        self.value = value
        self.focus()
