"""Where the dashboard's events come from: an agent, a recording or a script."""

from collections.abc import AsyncIterator
from typing import Protocol

from proglog.tui.state import Event


class Source(Protocol):
    """A stream of events about one cluster."""

    @property
    def target(self) -> str:
        """What is watched, for the header."""
        ...

    def events(self) -> AsyncIterator[Event]:
        """Yields events for as long as there are any; failures to reach an agent are events, not exceptions."""
        ...
