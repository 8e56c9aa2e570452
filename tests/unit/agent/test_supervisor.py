"""The supervisor: whatever ends a task unasked is reported once, and fails the agent."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from proglog.agent.supervisor import Supervisor
from proglog.errors import TaskFailedError

Eventually = Callable[..., Awaitable[None]]

ENDS = (
    KeyError("x"),
    AssertionError(),
    MemoryError(),
    RuntimeError("can't start new thread"),
    KeyboardInterrupt(),
    SystemExit(3),
    asyncio.CancelledError(),
)


async def forever() -> None:
    await asyncio.Event().wait()


async def raises(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
async def test_a_task_that_raises_is_one_event_and_the_failure(error: BaseException, eventually: Eventually) -> None:
    failures: list[TaskFailedError] = []
    supervisor = Supervisor(on_failure=failures.append)
    with capture_logs() as events:
        supervisor.start(raises(error), name="t")
        await eventually(lambda: failures)

    assert [(event["event"], event["task"], event["exc_info"]) for event in events] == [("task_failed", "t", error)]
    assert supervisor.failure is failures[0]
    assert failures[0].error is error


async def test_a_task_that_must_not_return_and_does_is_a_failure(eventually: Eventually) -> None:
    supervisor = Supervisor()
    supervisor.start(asyncio.sleep(0), name="t")
    await eventually(lambda: supervisor.failure)

    assert "the task t failed" in str(supervisor.failure)


async def test_tasks_that_end_as_they_may_are_no_failure() -> None:
    supervisor = Supervisor()
    with capture_logs() as events:
        done = supervisor.start(asyncio.sleep(0), name="done", may_end=True)
        await asyncio.wait([done])
        supervisor.start(forever(), name="cancelled")
        supervisor.start(forever(), name="cancelled before its first step")
        await supervisor.close()

    assert (supervisor.failure, events) == (None, [])


async def test_only_the_first_failure_counts_and_all_are_reported(eventually: Eventually) -> None:
    failures: list[TaskFailedError] = []
    supervisor = Supervisor(on_failure=failures.append)
    with capture_logs() as events:
        for name in ("first", "second"):
            supervisor.start(raises(KeyError(name)), name=name)
        await eventually(lambda: len(events) == 2)

    assert [failure.task for failure in failures] == ["first"]


async def test_a_timer_whose_callback_raises_is_a_failure(eventually: Eventually) -> None:
    def callback() -> None:
        raise KeyError("x")

    supervisor = Supervisor()
    supervisor.call_later(0.0, callback, name="timer")
    await eventually(lambda: supervisor.failure)
