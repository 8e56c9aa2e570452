"""Standard output as the kernel sees it: the one place that writes data, and knows what of it was taken.

A write may be short (a full disk, a file-size limit, a pipe), wait (a pipe without a reader) or be refused (a pipe that
does not block). Here every write is carried on to its end or to an error, and :attr:`Stdout.taken` counts what the
kernel has accepted: nothing else was written. It takes the place of ``sys.stdout``, so that help and messages of
libraries go the same way.
"""

import asyncio
import errno
import io
import os
import select
import stat
import time

from proglog.errors import ProglogError

BUFFER_BYTES = 64 * 1024
PIPE_BYTES = 4096
"""What a pipe that is ready takes without making its writer wait: PIPE_BUF of Linux."""


class ReaderGoneError(Exception):
    """The reader of stdout has read enough. Not an ``OSError``: Typer would end those with code 1."""


class OutputError(ProglogError):
    """Stdout does not take what is to be written."""

    def __init__(self, cause: OSError, taken: int) -> None:
        reason = os.strerror(cause.errno) if cause.errno else str(cause)
        super().__init__(f"cannot write to standard output: {reason} ({taken:,} bytes were written)")
        self.cause_errno = cause.errno


class Stdout(io.TextIOBase):
    """Writes to a descriptor. ``pending`` holds what is written and not flushed."""

    def __init__(self, descriptor: int = 1, encoding: str = "utf-8") -> None:
        self.taken = 0
        """Bytes that the kernel has accepted."""
        self._descriptor = descriptor
        self._encoding = encoding
        self._pending = bytearray()
        self._whole = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._terminal = os.isatty(descriptor)

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has a plain attribute
        """Of text; what it lacks is written as an escape."""
        return self._encoding

    @property
    def accepted(self) -> int:
        """Bytes that were written to this object in all: those taken, and those pending."""
        return self.taken + len(self._pending)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._terminal

    def writable(self) -> bool:
        """Return true."""
        return True

    def write(self, text: str, /) -> int:
        """Write text. Errors as :meth:`flush`."""
        self.hold(text.encode(self._encoding, "backslashreplace"))
        if len(self._pending) >= BUFFER_BYTES or (self._terminal and "\n" in text):
            self.flush()
        return len(text)

    def hold(self, data: bytes) -> None:
        """Take bytes for the next flush."""
        self._pending += data

    def flush(self) -> None:
        """Have the kernel take everything that is pending; wait while it cannot.

        Raises:
            ReaderGoneError: The reader is gone.
            OutputError: It refuses. What it had taken before is counted; the rest is dropped.
        """
        while self._pending:
            if not self._write_some(len(self._pending)):
                self._poll(None)

    def flush_within(self, seconds: float) -> None:
        """As :meth:`flush`, but drop what the kernel does not take in time: its reader may have stopped."""
        until = time.monotonic() + seconds
        while self._pending and self._poll(max(0, round((until - time.monotonic()) * 1000))):
            self._write_some(len(self._pending) if self._whole else PIPE_BYTES)
        self._pending.clear()

    async def flush_async(self) -> None:
        """As :meth:`flush`; keep the loop running while the kernel cannot take more."""
        while self._pending:
            most = len(self._pending) if self._whole else PIPE_BYTES
            if not self._poll(0) or not self._write_some(most):
                await self._wait_for_room()

    def _write_some(self, most: int) -> bool:
        """Write once; return whether anything was taken."""
        try:
            taken = os.write(self._descriptor, memoryview(self._pending)[:most])
        except BlockingIOError:
            return False
        except OSError as exc:
            self._pending.clear()
            if exc.errno == errno.EPIPE:
                raise ReaderGoneError from exc
            raise OutputError(exc, self.taken) from exc
        self.taken += taken
        del self._pending[:taken]
        return True

    def _poll(self, timeout: int | None) -> bool:
        """Return whether a write would be answered at once, be it with an error."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(timeout))

    async def _wait_for_room(self) -> None:
        loop = asyncio.get_running_loop()
        room = asyncio.Event()
        loop.add_writer(self._descriptor, room.set)
        try:
            await room.wait()
        finally:
            loop.remove_writer(self._descriptor)
