"""Variables that libraries read, and that would end a verb in one of them: what they cannot be is left out, and said."""

import os

from proglog.cli import diagnostics

_ALLOWED = {
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": ("python", "upb"),
    "GRPC_POLL_STRATEGY": ("all", "epoll1", "poll", "none"),
    "TEXTUAL_COLOR_SYSTEM": ("auto", "standard", "256", "truecolor"),
    "TEXTUAL_DRIVER": (
        "proglog.tui.page_driver:PageDriver",
    ),  # that of `dash --web`; a terminal gets the dashboard's own
}
"""Accepted values of a variable; any other value aborts its library."""


def leave_out_unusable() -> None:
    """Remove variables with values that their libraries do not bear, with a line about each. Before these are imported."""
    for name, allowed in _ALLOWED.items():
        value = os.environ.get(name, "")
        if value and value not in allowed:
            del os.environ[name]
            diagnostics.note(f"warning: {name}={value!r:.60} is ignored: expected {', '.join(allowed)}")
