"""What every screen of the dashboard can do: show a state."""

from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from proglog.tui.spans import Look
from proglog.tui.state import DashState
from proglog.tui.widgets.live_table import LiveTable

if TYPE_CHECKING:
    from proglog.tui.app import DashApp

Result = TypeVar("Result")


class Shows(DOMNode):
    """A screen that is told the state after every change of it."""

    HOLDS: ClassVar[tuple[type[Widget], ...]] = ()
    """Widgets on it that have keys of their own."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next", show=False, id="screen.next", tooltip="The next part of the screen"),
        Binding(
            "shift+tab", "app.focus_previous", "Previous", show=False, id="screen.previous", tooltip="The part before"
        ),
    ]

    @property
    def dash(self) -> "DashApp":
        """The application, by its own type."""
        return cast("DashApp", self.app)

    @property
    def look(self) -> Look:
        """How this terminal is drawn on."""
        return self.dash.look

    def show(self, state: DashState) -> None:
        """Brings the screen up to date."""
        raise NotImplementedError

    def pause(self) -> bool:
        """Pauses what is shown, or goes on; returns whether the screen has a pause of its own."""
        return False

    def travel(self, steps: int) -> bool:
        """Goes through time; returns whether the screen has a time of its own."""
        del steps
        return False


class DashScreen(Screen[Result], Shows):
    """A whole screen, with a table."""

    BASE = True
    HOLDS = (LiveTable,)

    def on_mount(self) -> None:
        """Shows the state that there is."""
        self.call_after_refresh(lambda: self.show(self.dash.state))

    def on_resize(self) -> None:
        """Shows the state in the new size."""
        self.call_after_refresh(lambda: self.show(self.dash.state))


class DashModal(ModalScreen[Result], Shows):
    """A box over the screen it was opened from."""

    BASE = True

    def on_mount(self) -> None:
        """Shows the state that there is."""
        self.call_after_refresh(lambda: self.show(self.dash.state))

    def on_resize(self) -> None:
        """Shows the state in the new size."""
        self.call_after_refresh(lambda: self.show(self.dash.state))
