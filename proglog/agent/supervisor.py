"""The supervisor: owns every long-lived task of an agent, and reports when one ends unexpectedly.

::

    task  --- cancelled by its owner, or done (may_end) --->  nothing
      |
      +--- any exception, or an unrequested end ----------->  one event, ``task_failed``, with the traceback
                                                              the agent shuts down; ``serve`` exits with 70

An agent that continues without one of its tasks looks healthy and is not: it must exit, so that its service manager
restarts it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from proglog.errors import ProglogError, TaskFailedError
from proglog.tasks import TaskScope
from proglog.telemetry import events
from proglog.telemetry.emit import emitter


class Supervisor:
    """The root of an agent's tasks. ``failure`` is what ended the agent first."""

    def __init__(self, *, node_name: str = "", on_failure: Callable[[ProglogError], None] = lambda _: None) -> None:
        """Start without tasks.

        Args:
            node_name: For telemetry.
            on_failure: Called once, with the first failure.
        """
        self.failure: ProglogError | None = None
        self._on_failure = on_failure
        self._emit = emitter(node=node_name)
        self._scope = TaskScope()

    def start(self, work: Coroutine[Any, Any, None], *, name: str, may_end: bool = False) -> asyncio.Task[None]:
        """Run ``work`` until the caller cancels the task.

        Args:
            work: The task.
            name: In telemetry.
            may_end: It may return; otherwise that is also a failure.
        """
        task = self._scope.start(self._watch(work, name, may_end=may_end), name=name)
        task.add_done_callback(lambda _: work.close())  # cancelled before its first step, it was never awaited
        return task

    def call_later(self, delay: float, callback: Callable[[], None], *, name: str) -> asyncio.TimerHandle:
        """Call ``callback`` in ``delay`` seconds; an exception of it is a failure as that of a task."""
        return asyncio.get_running_loop().call_later(delay, partial(self._call, callback, name))

    def end(self, failure: ProglogError) -> None:
        """Shut the agent down, because of ``failure`` unless an earlier one did."""
        if self.failure is None:
            self.failure = failure
            self._on_failure(failure)

    async def close(self) -> None:
        """End the tasks that still run. Idempotent."""
        await self._scope.close()

    async def _watch(self, work: Coroutine[Any, Any, None], name: str, *, may_end: bool) -> None:
        try:
            await work
        except GeneratorExit:
            raise
        except asyncio.CancelledError as exc:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._fail(name, exc)  # it came from inside: this task was not cancelled
        except BaseException as exc:  # noqa: BLE001 - a SystemExit is no reason to end silently, either
            self._fail(name, exc)
        else:
            if not may_end:
                self._fail(name, RuntimeError("it returned"))

    def _call(self, callback: Callable[[], None], name: str) -> None:
        try:
            callback()
        except BaseException as exc:  # noqa: BLE001 - as for tasks
            self._fail(name, exc)

    def _fail(self, name: str, error: BaseException) -> None:
        try:
            self._emit(events.TASK_FAILED, name, repr(error), exc_info=error)
        finally:
            self.end(TaskFailedError(name, error))
