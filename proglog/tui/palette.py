"""What the command palette offers: every action that has a key, and the command lines that say the same."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.app import SystemCommand
from textual.screen import Screen

from proglog.tui.keymap import shown
from proglog.tui.views import commands

if TYPE_CHECKING:
    from proglog.tui.app import DashApp


def system_commands(app: "DashApp", screen: Screen[Any]) -> Iterator[SystemCommand]:
    """Yields the commands for a screen, generated from its bindings, so that they cannot drift from the keys."""
    lines = [] if app.state.recorded else commands.equivalents(app.state.target)
    for command, words in lines:
        yield SystemCommand(f"Copy: {command}", words, partial(app.copy, command, "the command"))
    seen = set()
    for active in screen.active_bindings.values():
        binding = active.binding
        telling = binding.id and (binding.show or binding.tooltip)
        if telling and active.enabled and binding.description not in seen:
            seen.add(binding.description)
            run = partial(app.run_action, binding.action, active.node)
            yield SystemCommand(
                binding.description, f"{shown(binding.key)}: {binding.tooltip or binding.description}", run
            )
    yield SystemCommand("Theme", "Colours: also for colour-blind readers and for high contrast", app.search_themes)
