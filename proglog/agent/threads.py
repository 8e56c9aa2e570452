"""Thread pools whose threads run from the start.

The standard library's pool starts its threads when work arrives, so a limit on threads would strike in the middle of an
operation, long after the agent reported ready. This one fails at open, where the error can be reported.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

from proglog.errors import ConfigError


def started_pool(threads: int, name: str) -> ThreadPoolExecutor:
    """Return a pool of ``threads`` threads that all run.

    Raises:
        ConfigError: The operating system refuses another thread.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    go = threading.Event()
    try:
        for _ in range(threads):
            pool.submit(go.wait)  # none is idle before the last one runs: each of them needs a thread of its own
    except RuntimeError as exc:
        go.set()
        pool.shutdown(cancel_futures=True)  # gives back what it has: ending in order may take a thread
        raise ConfigError(
            f"cannot start {threads} threads ({name}): {exc}; raise the limit on processes and threads (ulimit -u, a"
            " container's pids limit)"
        ) from exc
    go.set()
    return pool
