"""The agent: one node of a cluster, from the moment it serves until everything of it has ended.

::

    start     log -> server -> membership, with the replicator as its handler      agent/opening
    life      until shutdown is called, or a task of it fails                       agent/supervisor
    shutdown  leave the cluster -> close the replicator -> stop the server gracefully -> close the log

Shutting down is idempotent and bounded, runs when a task fails - the server's end is one - and no failing step keeps
the next from running.

Source: *Distributed Services with Go*, chapter 7, ``internal/agent/agent.go``.
"""

import asyncio
from typing import Self

from proglog.agent.config import AgentConfig
from proglog.agent.opening import Parts, Steps, open_parts
from proglog.agent.supervisor import Supervisor
from proglog.errors import ProglogError
from proglog.tasks import TaskScope
from proglog.telemetry import events
from proglog.telemetry.emit import emitter


class Agent:
    """A node that serves and gossips. :meth:`start` makes one; ``stopped`` is set when it is over."""

    def __init__(self, parts: Parts, steps: Steps, tasks: Supervisor, over: asyncio.Event) -> None:
        """Use :meth:`start`."""
        self.config = parts.config
        self.log = parts.log
        self.writer = parts.writer
        self.server = parts.server
        self.replicator = parts.replicator
        self.membership = parts.membership
        self.view = parts.view
        self.stopped = asyncio.Event()
        self._steps = steps
        self._tasks = tasks
        self._over = over
        self._root = TaskScope()
        self._living = self._root.start(self._live(), name="agent")

    @classmethod
    async def start(cls, config: AgentConfig) -> Self:
        """Set up log, server, membership; on return the agent serves and gossips.

        Raises:
            ProglogError: A step failed, in one line; what had been set up was shut down again.
        """
        over = asyncio.Event()
        tasks = Supervisor(node_name=config.node_name, on_failure=lambda _: over.set())
        steps = Steps(emitter(node=config.node_name))
        try:
            parts = await open_parts(config, tasks, steps, over.set)
        except BaseException:
            await steps.aclose()
            raise
        return cls(parts, steps, tasks, over)

    @property
    def failure(self) -> ProglogError | None:
        """The error that ended this agent, such as a failed task; ``None`` while it runs, and after an orderly end."""
        return self._tasks.failure

    def reload(self) -> None:
        """Look at rules and certificates now: they are followed anyway, and what was refused is tried again at once."""
        self.view.timeline.emit(events.RELOAD_ASKED)
        self.server.reload()

    async def shutdown(self) -> None:
        """Leave, close the replicator, stop the server, close the log. Any number of callers wait for the same end."""
        self._over.set()
        await asyncio.shield(self._living)

    async def _live(self) -> None:
        await self._over.wait()
        if self.failure is not None:
            self._steps.add("health", lambda: self.server.set_serving(False))
        await self._steps.aclose()
        self.stopped.set()
