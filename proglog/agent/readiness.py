"""Acts on findings as they come and go, though nothing else may happen: most of them are about what does not happen.

The health service of gRPC says NOT_SERVING while one is ``unready``, and every watcher of the status gets a new one.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from proglog.observe import health
from proglog.observe.health import Severity
from proglog.wire.model import ClusterSnapshot

LOOK_INTERVAL = 1.0
"""Seconds between two looks, or more: looking takes a twentieth of the time at most. A change of the log is looked at at once."""


class Readiness:
    """Looks at the facts while :meth:`run` runs."""

    def __init__(
        self,
        snapshot: Callable[[], ClusterSnapshot],
        set_serving: Callable[[bool], Awaitable[None]],
        on_change: Callable[[], None],
    ) -> None:
        """Take the node for serving.

        Args:
            snapshot: The facts.
            set_serving: Says so over gRPC.
            on_change: Called when a finding came, went or grew worse.
        """
        self._snapshot = snapshot
        self._set_serving = set_serving
        self._on_change = on_change
        self._serving = True
        self._found: set[tuple[str, Severity]] = set()
        self._state = "ok"
        self._soon = asyncio.Event()

    def log_changed(self, state: str) -> None:
        """Look at once if the state of the log is another."""
        if state != self._state:
            self._state = state
            self._soon.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            began = time.monotonic()
            snapshot = self._snapshot()
            found = {(each.key, each.severity) for each in health.findings(snapshot)}
            if found != self._found:
                self._found = found
                self._on_change()
            serving = health.ready(health.own_findings(snapshot))
            if serving != self._serving:
                self._serving = serving
                await self._set_serving(serving)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(LOOK_INTERVAL, 20 * (time.monotonic() - began))):
                    await self._soon.wait()
            self._soon.clear()
