"""What every screen of the dashboard can do: render a state."""

from typing import ClassVar, TypeVar, cast

from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen

from proglog.observe.spans import Locale
from proglog.tui.dash import Dash
from proglog.tui.state import DashState

Result = TypeVar("Result")


class StateScreen(DOMNode):
    """A screen that renders the state after each change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next", show=False, id="screen.next", tooltip="The next part of the screen"),
        Binding(
            "shift+tab", "app.focus_previous", "Previous", show=False, id="screen.previous", tooltip="The part before"
        ),
    ]

    @property
    def dash(self) -> Dash:
        """The application."""
        return cast("Dash", self.app)

    @property
    def locale(self) -> Locale:
        """How this terminal is drawn on."""
        return self.dash.locale

    @property
    def topic(self) -> str:
        """The panel or table that help explains; empty: none."""
        return ""

    @property
    def about(self) -> tuple[str, ...]:
        """What the help says about the topic as a whole."""
        return ()

    def render_state(self, state: DashState) -> None:
        """Bring the screen up to date."""
        raise NotImplementedError

    def toggle_pause(self) -> bool:
        """Pause or resume what the screen itself follows; return whether it follows anything."""
        return False

    def step_time(self, steps: int) -> bool:
        """Move in the time of the screen's own content; return whether it has one."""
        del steps
        return False

    def on_mount(self) -> None:
        """Render the current state."""
        self.call_after_refresh(lambda: self.render_state(self.dash.state))

    def on_screen_resume(self) -> None:
        """Render what happened while something else was shown."""
        self.dash.mark_dirty()

    def on_resize(self) -> None:
        """Render the state in the new size, and once more when all parts have theirs."""
        self.call_after_refresh(lambda: self.render_state(self.dash.state))
        self.dash.mark_dirty(covered=True)


class DashScreen(Screen[Result], StateScreen):
    """A whole screen, with a table."""


class DashModal(ModalScreen[Result], StateScreen):
    """A box over the screen it was opened from."""
