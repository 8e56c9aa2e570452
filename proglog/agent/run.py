"""Run an agent until a signal says stop: the whole of ``proglog serve`` below the flags."""

import asyncio
import signal
from collections.abc import Callable

from proglog.agent.agent import Agent
from proglog.agent.config import AgentConfig

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def run_agent(config: AgentConfig, *, ready: Callable[[Agent], None]) -> None:
    """Start an agent, call ``ready`` once it serves, and shut it down on SIGINT or SIGTERM.

    Raises:
        ProglogError: It could not start.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    agent = Agent(config)
    try:
        starting = asyncio.create_task(agent.start())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            ready(agent)
            ended = asyncio.create_task(agent.stopped.wait())
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
        else:
            starting.cancel()
            await asyncio.wait((starting,))
        stopping.cancel()
    finally:
        await agent.shutdown()


def run(config: AgentConfig, *, ready: Callable[[Agent], None]) -> None:
    """As :func:`run_agent`, with an event loop of its own, uvloop's.

    Raises:
        ProglogError: It could not start.
    """
    from uvloop import new_event_loop

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run_agent(config, ready=ready))
