"""Writes lines on a separate thread to a descriptor that may block at any time.

The reader of our stderr may stall: a log collector that hangs, Ctrl-S in a terminal. A write to the full pipe then
blocks, and on the event loop it would stop the agent. So lines are queued, up to a bound; excess lines are dropped and
counted.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""Beyond this, lines are dropped."""
END_WAIT = 1.0
"""Seconds that process exit waits for queued lines."""


class LineWriter:
    """Writes whole lines to a descriptor. :meth:`put` never blocks; the descriptor stays the caller's."""

    def __init__(self, descriptor: int, *, on_dropped: Callable[[int], None] = lambda _: None) -> None:
        """Store the descriptor; the first line starts the thread.

        Args:
            descriptor: The target; blocking or not.
            on_dropped: Called on the writing thread, once lines are taken again, with the number of dropped lines.
        """
        self.dropped = 0
        """Lines without room in the queue, without a thread to write them, or refused by the descriptor."""
        self._descriptor = descriptor
        self._on_dropped = on_dropped
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._told = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, line: bytes) -> None:
        """Queue a line, line end included."""
        with self._changed:
            # The writing thread's own line reports the drops: there is one at a time, and it must not be dropped.
            is_full = (
                self._queued_bytes + len(line) > MAX_QUEUED_BYTES and threading.current_thread() is not self._thread
            )
            if is_full or not self._start():
                self.dropped += 1
                return
            self._queue.append(line)
            self._queued_bytes += len(line)
            self._changed.notify_all()

    def _start(self) -> bool:
        """Return whether the thread runs; where the system refuses it, the next line tries again."""
        if self._thread is None:
            # A daemon: one that is stuck in a write does not keep the process.
            thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def drain(self, timeout: float = END_WAIT) -> bool:
        """Wait until everything queued is written; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queued_bytes, timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue))
                line = self._queue.popleft()
            taken = self._write(line)
            with self._changed:
                self._queued_bytes -= len(line)
                self.dropped += not taken
                dropped, self._told = (self.dropped - self._told, self.dropped) if taken else (0, self._told)
                self._changed.notify_all()
            if dropped:
                self._on_dropped(dropped)

    def _write(self, line: bytes) -> bool:
        left = memoryview(line)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                ready = select.poll()
                ready.register(self._descriptor, select.POLLOUT)
                ready.poll()
            except OSError:
                return False  # a full disk, a broken pipe, a closed descriptor: counted
        return True
