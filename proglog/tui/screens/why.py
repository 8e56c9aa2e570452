"""Why something needs attention: a card for each finding, its command to copy, and a jump to the panel that shows it."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from proglog.observe.health import Finding
from proglog.tui.keymap import key_label
from proglog.tui.screens.reader import Page, Reader
from proglog.tui.state import DashState
from proglog.tui.views import alerts

_HINTED = ("reader.back", "reader.copy", "why.next", "why.previous", "why.jump")


class Why(Reader):
    """The findings of the moment on the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "choose(1)", "Next", id="why.next", tooltip="The next finding"),
        Binding("p", "choose(-1)", "Previous", id="why.previous", tooltip="The finding before"),
        Binding("enter", "jump", "Show", id="why.jump", tooltip="Go to the panel that shows it"),
    ]

    def __init__(self) -> None:
        self._key = ""
        super().__init__(
            "Why",
            lambda state, locale, width: alerts.lines(
                state, locale, width, chosen=self._chosen(state), tls=self.dash.source.tls_flags
            ),
        )

    def _chosen(self, state: DashState) -> int:
        """Return which finding the cursor is on: the same one while it is there."""
        keys = [each.key for each in state.alerts]
        return keys.index(self._key) if self._key in keys else 0

    @property
    def _finding(self) -> Finding | None:
        found = self.dash.state.alerts
        return found[self._chosen(self.dash.state)] if found else None

    def render_state(self, state: DashState) -> None:
        """Show the cards, and the keys that work."""
        super().render_state(state)
        keys = {active.binding.id: key_label(key) for key, active in reversed(self.active_bindings.items())}
        back, copy, following, previous, jump = (keys.get(name, "") for name in _HINTED)
        hint = f"{back}: back, {copy}: copy the command, {following}/{previous}: choose, {jump}: show"
        self.query_one(Page).border_subtitle = Content(hint)

    def action_choose(self, by: int) -> None:
        """Choose another finding."""
        state = self.dash.state
        found = state.alerts[: alerts.MOST]
        if not found:
            return
        chosen = found[min(max(self._chosen(state) + by, 0), len(found) - 1)]
        self._key = chosen.key
        self.render_state(state)
        page = self.query_one(Page)
        width = page.scrollable_content_region.width
        page.scroll_to(y=alerts.where(chosen, state, self.locale, width), animate=False)

    def action_copy(self) -> None:
        """Copy the command of the chosen finding."""
        finding = self._finding
        shell = alerts.command(finding, self.dash.state, self.dash.source.tls_flags) if finding is not None else ""
        if shell:
            self.dash.copy(shell, "the command")
        else:
            self.dash.announce("there is no command to copy here", severity="warning")

    def action_jump(self) -> None:
        """Go to the panel that shows it."""
        finding = self._finding
        self.dismiss()
        if finding is not None:
            self.dash.show_panel(alerts.panel_of(finding))
