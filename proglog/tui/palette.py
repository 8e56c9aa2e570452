"""The command palette: every action that has a key, with its key and the command line that does the same in a shell."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from textual.app import SystemCommand
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.command import Command, CommandList, CommandPalette
from textual.content import Content
from textual.screen import Screen

from proglog.observe.safe_text import safe_text
from proglog.tui.dash import Dash
from proglog.tui.keymap import key_label
from proglog.tui.views.command_lines import Equivalent, Scene, equivalents
from proglog.tui.widgets.live_table import LiveTable

_COPIED = "In a shell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the palette."""

    title: str
    words: str
    line: str
    """The command that does the same; empty: there is none."""
    run: Callable[[], Any]


class Palette(CommandPalette):
    """Textual's palette, which also copies the command line of the action that is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+y", "copy_line", "Copy the command line", show=False, id="palette.copy", priority=True)
    ]

    def __init__(self, dash: Dash, screen: Screen[Any]) -> None:
        """Prepare the palette of a screen."""
        key = dash.key_of(Palette, "palette.copy")
        self._dash = dash
        super().__init__(placeholder=f"Search; {key} copies the command line", id="--command-palette")
        self._lines = {entry.title: entry.line for entry in entries(dash, screen)}

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Close the palette, once: keys and clicks may still reach it when it is gone."""
        return super().dismiss(result) if self.app.screen is self else AwaitComplete()

    def _action_command_list(self, action: str) -> None:
        """Move in the list of commands; a page of a list without lines would end the program."""
        listed = self.query_one(CommandList)
        if listed.option_count and listed.size.height:
            super()._action_command_list(action)

    def action_copy_line(self) -> None:
        """Copy the command line of what is highlighted, and close the palette."""
        chosen = self.query_one(CommandList)
        option = chosen.get_option_at_index(chosen.highlighted) if chosen.highlighted is not None else None
        line = self._lines.get(str(option.hit.text), "") if isinstance(option, Command) else ""
        self.dismiss()
        if line:
            self._dash.copy(line, "the command line")
        else:
            self._dash.announce("no command line does this", severity="warning")


def system_commands(dash: Dash, screen: Screen[Any]) -> Iterator[SystemCommand]:
    """Yield the palette's entries for Textual, foreign text without its markup."""
    for entry in entries(dash, screen):
        words = f"{entry.words}\n$ {entry.line}" if entry.line else entry.words
        yield SystemCommand(entry.title, Content(words), entry.run)  # type: ignore[arg-type]  # no markup to escape


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
        words = f"{' '.join(keys[name])}: {binding.tooltip or binding.description}"
        line = _line(lines.get(name), dash)
        yield Entry(
            title=binding.description, words=words, line=line, run=partial(dash.run_action, binding.action, active.node)
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
