"""What screens, panels and the palette need of the application: they know this, not the class."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from textual.dom import DOMNode
from textual.notifications import SeverityLevel

from proglog.observe.spans import Locale
from proglog.tui.panels.segments.verification import Verifier
from proglog.tui.source import Source
from proglog.tui.state import Change, DashState
from proglog.tui.tabs import Tab
from proglog.wire.model import Member


class Dash(Protocol):
    """The dashboard, as its parts see it."""

    @property
    def locale(self) -> Locale:
        """How to draw on this terminal."""
        ...

    @property
    def state(self) -> DashState:
        """Everything that is shown."""
        ...

    @property
    def source(self) -> Source:
        """Where events and records come from."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since 1970."""
        ...

    @property
    def verifier(self) -> Verifier:
        """Verifications of segments; they outlive the screens that start them."""
        ...

    def dispatch(self, change: Change) -> None:
        """Take a change into the state."""
        ...

    @property
    def tabs(self) -> Sequence[Tab]:
        """The clusters that are watched."""
        ...

    @property
    def tab(self) -> Tab:
        """The one that is shown."""
        ...

    def show_tab(self, number: int) -> None:
        """Show another cluster."""
        ...

    def mark_dirty(self, *, covered: bool = False) -> None:
        """Ask for a paint."""
        ...

    def flush(self) -> None:
        """Paint what changed, now."""
        ...

    def announce(self, words: str, *, severity: SeverityLevel = "information") -> None:
        """Show a short message. Foreign text may be in it."""
        ...

    def copy(self, text: str, what: str) -> None:
        """Copy ``text`` to the clipboard and say so."""
        ...

    def key_of(self, owner: type[DOMNode], name: str) -> str:
        """Return the first key of an action of ``owner``, as readers see it."""
        ...

    def watch_from(self, addr: str) -> None:
        """Watch the agent at ``addr`` instead."""
        ...

    def show_panel(self, name: str) -> None:
        """Close what is open over the main screen, and go to a panel of it."""
        ...

    def remove_member(self, member: Member) -> None:
        """Ask for the name of a failed member and remove it from the cluster."""
        ...

    def action_alerts(self) -> None:
        """Show why something needs attention."""
        ...

    def action_resume(self) -> None:
        """Show the present."""
        ...

    def run_action(self, action: str, default_namespace: DOMNode | None = None) -> Coroutine[Any, Any, bool]:
        """Run an action by name."""
        ...

    def search_themes(self) -> None:
        """Let the reader choose a theme."""
        ...
