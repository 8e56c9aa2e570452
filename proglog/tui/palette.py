"""The palette: every action that has a key, with its key and the command line that does the same in a shell."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input

from proglog.observe.columns import Column, Help, Row
from proglog.observe.safe_text import safe_text
from proglog.observe.spans import Role
from proglog.tui.dash import Dash
from proglog.tui.keymap import key_label
from proglog.tui.screens.base import DashModal
from proglog.tui.state import DashState
from proglog.tui.views.command_lines import Equivalent, Scene, equivalents
from proglog.tui.widgets.filter_box import FilterBox
from proglog.tui.widgets.live_table import LiveTable

_COPIED = "In a shell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the palette."""

    title: str
    keys: str = ""
    """Empty: it has none."""
    words: str
    line: str
    """The command that does the same; empty: there is none."""
    run: Callable[[], Any]


COLUMNS: Sequence[Column[Entry]] = (
    Column(
        title="KEYS",
        value=lambda entry: entry.keys,
        role=Role.STRONG,
        width=8,
        flex=1,
        limit=12,
        help=Help(means="What does it without the palette."),
    ),
    Column(
        title="ACTION",
        value=lambda entry: entry.title,
        role=Role.ACCENT,
        width=14,
        flex=1,
        limit=20,
        help=Help(means="Its name."),
    ),
    Column(
        title="WHAT IT DOES", value=lambda entry: entry.words, width=18, flex=3, rank=1, help=Help(means="In words.")
    ),
    Column(
        title="IN A SHELL",
        value=lambda entry: entry.line,
        role=Role.MUTED,
        width=24,
        flex=5,
        rank=2,
        help=Help(means="The command line that does the same for what is on the screen."),
    ),
)


class _Actions(LiveTable):
    """The entries; a click runs one."""

    def on_click(self, event: events.Click) -> None:
        """Run the row that was clicked; a heading sorts."""
        super().on_click(event)
        offset = event.get_content_offset(self)
        if offset is not None and offset.y > 0:
            self.action_open()


class Palette(DashModal[None]):
    """Every action of the screen below; what is typed narrows them, enter runs one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Back", id="palette.back", tooltip="Close the palette"),
        Binding("up", "move(-1)", "Up", show=False, priority=True, id="palette.up"),
        Binding("down", "move(1)", "Down", show=False, priority=True, id="palette.down"),
        Binding("ctrl+y", "copy_line", "Copy the command line", show=False, id="palette.copy", priority=True),
    ]

    def __init__(self, dash: Dash, screen: Screen[Any]) -> None:
        """Prepare the palette of a screen."""
        super().__init__()
        self._entries = sorted(entries(dash, screen), key=lambda entry: (entry.keys == "", entry.title))
        self._box = FilterBox("words of what you want to do")
        self._actions = _Actions(COLUMNS, empty="no action has all of these words", id="actions")
        copy, back = (dash.key_of(Palette, f"palette.{name}") for name in ("copy", "back"))
        self._hint = f"enter: run, {copy}: copy the command line, {back}: back"

    def compose(self) -> ComposeResult:
        """Build the box."""
        with Vertical(id="palette") as box:
            box.border_title, box.border_subtitle = Content("Commands"), Content(self._hint)
            yield self._box
            yield self._actions

    def on_mount(self) -> None:
        """Ask for words."""
        super().on_mount()
        self._box.ask("")
        self._narrow("")

    def render_state(self, state: DashState) -> None:
        """What is offered stays what it was when the palette was opened."""

    def _narrow(self, text: str) -> None:
        words = text.casefold().split()
        found = [each for each in self._entries if all(word in _searched(each) for word in words)]
        found.sort(key=lambda each: not each.title.casefold().startswith(text.casefold().strip()))
        rows = [Row(key=each.title, item=each, columns=COLUMNS, locale=self.locale, source=each) for each in found]
        self._actions.set_rows(rows)
        self._actions.action_edge(0)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what has all the words."""
        self._narrow(event.value)

    def on_input_submitted(self) -> None:
        """Run what the cursor is on."""
        self._actions.action_open()

    def on_live_table_opened(self, event: LiveTable.Opened) -> None:
        """Close the palette and run an entry."""
        entry = event.row.source
        assert isinstance(entry, Entry)
        self.dismiss()
        self.app.call_later(entry.run)

    def action_move(self, rows: int) -> None:
        """Move the cursor; the words stay where they are typed."""
        self._actions.action_move(rows)

    def action_copy_line(self) -> None:
        """Copy the command line of what the cursor is on, and close the palette."""
        row = self._actions.row
        line = row.source.line if row is not None and isinstance(row.source, Entry) else ""
        self.dismiss()
        if line:
            self.dash.copy(line, "the command line")
        else:
            self.dash.announce("no command line does this", severity="warning")


def _searched(entry: Entry) -> str:
    return f"{entry.keys} {entry.title} {entry.words} {entry.line}".casefold()


def entries(dash: Dash, screen: Screen[Any]) -> Iterator[Entry]:
    """Yield an entry for each action that works on a screen, from its bindings: they cannot drift from the keys."""
    lines = {each.action: each for each in equivalents(scene(dash, screen)) if each.action}
    keys: dict[str, list[str]] = {}
    for key, active in screen.active_bindings.items():
        keys.setdefault(active.binding.id or "", []).append(key_label(key))
    seen: set[str] = set()
    for active in screen.active_bindings.values():
        binding = active.binding
        name = binding.id or ""
        offered = binding.show or binding.tooltip or name in lines
        if binding.description in seen or not name or not active.enabled or binding.system or not offered:
            continue
        seen.add(binding.description)
        line = _line(lines.get(name), dash)
        yield Entry(
            title=binding.description,
            keys=" ".join(keys[name]),
            words=binding.tooltip or binding.description,
            line=line,
            run=partial(dash.run_action, binding.action, active.node),
        )
    yield from (_copied(dash, each) for each in equivalents(scene(dash, screen)) if not each.action)
    words = "Colours: also for colour-blind readers and for high contrast"
    yield Entry(title="Theme", words=words, line="", run=dash.search_themes)


def _copied(dash: Dash, equivalent: Equivalent) -> Entry:
    """Return an entry that only copies: the dashboard shows it anyway."""
    line = _line(equivalent, dash)
    run = partial(dash.copy, line, "the command line")
    return Entry(title=f"{_COPIED}: {equivalent.command[0]}", words=equivalent.words, line=line, run=run)


def _line(equivalent: Equivalent | None, dash: Dash) -> str:
    if equivalent is None:
        return ""
    line = equivalent.line
    return line if line == safe_text(line, ascii_only=dash.locale.ascii_only) else ""


def scene(dash: Dash, screen: Screen[Any]) -> Scene:
    """Return what is on a screen, as far as a command line can say it."""
    panel = getattr(screen, "topic", "")
    tables = list(screen.query(LiveTable))
    table = next((each for each in tables if each.id == panel), tables[0] if len(tables) == 1 else None)
    row = table.row.source if table is not None and table.row is not None else None
    state = dash.state
    moment = f"+{state.frames[state.frame_index].at - state.frames[0].at:.0f}" if state.frame_index is not None else ""
    return Scene(
        addr="" if state.recorded else (state.stand_in or state.target),
        tls=dash.source.tls_flags,
        replay=dash.source.replay,
        at=moment if state.recorded else "",
        panel=panel,
        needle=table.needle if table is not None else "",
        row=row,
    )
