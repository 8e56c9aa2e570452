"""Owners of tasks: the only module of this package that calls ``asyncio.create_task``.

A task without an owner outlives its purpose, and its exception is lost. So every task belongs to a
:class:`TaskScope`: one call's in the block that serves the call, an agent's in its
:class:`~proglog.agent.supervisor.Supervisor`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

Result = TypeVar("Result")


class TaskScope:
    """Tasks bounded by an ``async with`` block: at its end they are cancelled and awaited.

    The block awaits the tasks whose results it needs. The event loop reports an exception that was never retrieved,
    through ``logging``, as for any task.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Cancel the tasks that still run, and wait for them."""
        await self.close()

    def start(self, work: Coroutine[Any, Any, Result], *, name: str) -> asyncio.Task[Result]:
        """Run ``work`` beside the block."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Cancel the tasks that still run, and wait for them. Idempotent."""
        await cancel_and_wait(*self._tasks)


async def ended(*tasks: asyncio.Task[Any]) -> list[BaseException]:
    """Cancel ``tasks``, wait for them, and return their exceptions."""
    await cancel_and_wait(*tasks)
    return [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel ``tasks``, and return when all of them have ended, however they did."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def wait_through(task: asyncio.Task[Any]) -> None:
    """Return when ``task`` has ended, however it did. A caller that is cancelled waits all the same, and is cancelled then.

    For an end that others build on: a caller may give up, and what it had begun is not left half done.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled
