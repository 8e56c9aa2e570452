"""Ends verbs that start processes and make directories: a signal interrupts them once, and they clean up.

The first SIGINT, SIGTERM or SIGHUP raises SystemExit with 128 and its number; the following ones change nothing, so that
what is undone is not cut short. Output without a reader (a terminal after Ctrl-S, a pipe whose reader waits) does not
hold the end up: after PATIENCE it is given up.
"""

import asyncio
import atexit
import os
import select
import signal
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 1.0
"""Seconds from the signal until output that is stuck is given up."""
_AGAIN = 0.2


class _Interruption:
    """One for the process: signals are the process's."""

    def __init__(self) -> None:
        self.came = 0
        """The first signal; 0: none."""
        self.held = 0
        """Blocks that must end first."""
        self._told = False

    def take(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.came:
            return
        self.came = number
        atexit.register(_flush_while_it_can_be_given_up)
        signal.signal(signal.SIGALRM, _give_up_output)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE, _AGAIN)
        self.check()

    def check(self) -> None:
        """End the program, once: cleanup on the way out may also hold interruptions back."""
        if self.came and not self.held and not self._told:
            self._told = True
            raise SystemExit(128 + self.came)


_interruption = _Interruption()


@contextmanager
def interruptible() -> Iterator[None]:
    """Have signals interrupt the block; one that is ignored, as by nohup, stays ignored."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _interruption.take)
    try:
        yield
    finally:
        if not _interruption.came:
            for number, handler in before.items():
                signal.signal(number, handler)


@asynccontextmanager
async def terminable() -> AsyncGenerator[None]:
    """Have SIGTERM cancel the task once, as SIGINT does: it ends in order, and the program with 143."""
    task, loop, came = asyncio.current_task(), asyncio.get_running_loop(), False
    assert task is not None

    def terminate() -> None:
        nonlocal came
        came = True
        loop.remove_signal_handler(signal.SIGTERM)  # a second one ends it at once
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        yield
    except asyncio.CancelledError:
        if came:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


@contextmanager
def held() -> Iterator[None]:
    """Hold an interruption back until the block has ended: it makes something, or takes it back."""
    _interruption.held += 1
    try:
        yield
    finally:
        _interruption.held -= 1
    _interruption.check()


def _flush_while_it_can_be_given_up() -> None:
    """Writes what is left; then there is no more use for a timer, which would kill an interpreter without handlers."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # it has no reader, or is closed
            stream.flush()
    signal.setitimer(signal.ITIMER_REAL, 0)


def _give_up_output(number: int, frame: FrameType | None) -> None:
    """Send to nowhere what a descriptor does not take now. What waits for it in the kernel stays there."""
    del number, frame
    for descriptor in (1, 2):
        if not select.select([], [descriptor], [], 0)[1]:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
