"""Has the health service of gRPC say what the findings say: a node with one that is ``unready`` is NOT_SERVING."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from proglog.observe import health
from proglog.wire.model import ClusterSnapshot

LOOK_INTERVAL = 1.0
"""Seconds between two looks; a log that changes its state is looked at at once."""


class Readiness:
    """Looks at the facts while :meth:`run` runs."""

    def __init__(self, snapshot: Callable[[], ClusterSnapshot], set_serving: Callable[[bool], Awaitable[None]]) -> None:
        """Take the node for serving.

        Args:
            snapshot: The facts.
            set_serving: Says so over gRPC.
        """
        self._snapshot = snapshot
        self._set_serving = set_serving
        self._serving = True
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
            serving = health.ready(health.own_findings(self._snapshot()))
            if serving != self._serving:
                self._serving = serving
                await self._set_serving(serving)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_INTERVAL):
                    await self._soon.wait()
            self._soon.clear()
