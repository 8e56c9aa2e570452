"""Run an agent until a signal says stop: the whole of ``proglog serve`` below the flags."""

import asyncio
import os
import signal
from collections.abc import Callable
from functools import partial

from proglog.agent.agent import Agent
from proglog.agent.config import AgentConfig
from proglog.agent.service_manager import service_manager
from proglog.agent.threads import started_pool
from proglog.tasks import TaskScope, cancel_and_wait
from proglog.telemetry import events
from proglog.telemetry.configure import set_level
from proglog.telemetry.emit import LEVELS, log_event, threshold

JOIN_PATIENCE = 0.5
"""Seconds that the word *ready* waits for a seed's first answer and word on the name, so that it can say that it lacks."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
SPARE_THREADS = 24
"""There must be room for so many, and one for each processor, before anything starts: gRPC's core, which starts about a
dozen of its own, crashes where it cannot."""
HELPER_THREADS = 4
"""For what may block and is neither an append nor a read: opening the log, saving the known members, verifying."""


async def run_agent(config: AgentConfig, *, ready: Callable[[Agent], None]) -> None:
    """Start an agent, call ``ready`` once it serves, and shut it down on SIGINT or SIGTERM.

    Raises:
        TaskFailedError: A task of it failed; it was shut down.
        NameTakenError: Another node has its name; it was shut down.
        ConfigError: The operating system does not give it the threads that it needs.
        ProglogError: It could not start.
        SystemExit: The signal came before it was ready: 128 and the signal's number, as of a process without handlers.
    """
    loop, manager = asyncio.get_running_loop(), service_manager()
    stop: asyncio.Queue[int] = asyncio.Queue()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.put_nowait, number)
    reloads: list[Callable[[], None]] = []
    loop.add_signal_handler(signal.SIGHUP, lambda: [reload() for reload in reloads])
    loop.add_signal_handler(signal.SIGUSR1, partial(_change_level, threshold.level))
    started_pool(SPARE_THREADS + (os.cpu_count() or 1), "agent").shutdown()
    loop.set_default_executor(started_pool(HELPER_THREADS, "agent"))
    async with TaskScope() as scope:
        stopping = scope.start(stop.get(), name="stop-signal")
        starting = scope.start(Agent.start(config), name="agent-start")
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            await cancel_and_wait(starting)
        if starting.cancelled():
            raise SystemExit(128 + stopping.result())
        agent = starting.result()
        reloads.append(agent.reload)
        try:
            await agent.membership.wait_answered(JOIN_PATIENCE)
            if agent.failure is None:
                ready(agent)
                manager.say("READY=1")
                if manager.watches:
                    scope.start(manager.watch(), name="watchdog")
            ended = scope.start(agent.stopped.wait(), name="agent-end")
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            manager.say("STOPPING=1")
            await agent.shutdown()
    if agent.failure is not None:
        raise agent.failure


def _change_level(configured: int) -> None:
    """Write everything; or, the second time, what the flag says again."""
    level = (
        "debug"
        if threshold.level > LEVELS["debug"]
        else {value: name for name, value in LEVELS.items()}.get(configured, "info")
    )
    log_event(events.LOG_LEVEL_CHANGED, least=level)
    set_level(level)


def reap_orphans() -> None:
    """As process 1, in a container, have the kernel reap what comes here when its parent has ended."""
    if os.getpid() == 1:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def run(config: AgentConfig, *, ready: Callable[[Agent], None]) -> None:
    """As :func:`run_agent`, with an event loop of its own, uvloop's.

    Raises:
        ProglogError: As those.
    """
    from uvloop import new_event_loop

    reap_orphans()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run_agent(config, ready=ready))
