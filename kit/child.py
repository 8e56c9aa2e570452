"""Child processes of a program that runs an event loop and gRPC.

``asyncio.create_subprocess_exec`` on uvloop forks with gRPC's fork handlers in the child, which now and then hang or crash
it. ``subprocess`` does not: it uses ``vfork``, which runs no handlers.
"""

import asyncio
import subprocess
import time
from collections.abc import Sequence
from typing import IO

_POLL = 0.02


def launch(command: Sequence[str], *, out: "IO[bytes] | int", err: "IO[bytes] | int") -> "subprocess.Popen[bytes]":
    """Start a process. It takes a few milliseconds, in which the event loop waits."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)


async def ended(process: "subprocess.Popen[bytes] | subprocess.Popen[str]", within: float) -> int:
    """Wait until ``process`` has ended; return its exit code.

    Raises:
        TimeoutError: It did not end in time.
    """
    deadline = time.monotonic() + within
    while (code := process.poll()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(_POLL)
    return code
