"""The dashboard's terminal: it is written to without waiting for a reader, and left whatever becomes of it.

Textual's own driver writes in a thread, and a terminal that nobody reads (Ctrl-S, a frozen ssh) fills its queue, which
stops the event loop for good: no signal ends such a program. This one writes what the terminal takes, keeps a bounded
rest, drops frames beyond it and paints anew once there is room. SIGINT, SIGTERM, SIGHUP and the end of input leave the
dashboard as ``q`` does; a terminal that still takes nothing then loses what waits in it, to be given its modes back.
"""

import asyncio
import os
import select
import signal
import sys
import termios
import threading
import time
from codecs import getincrementaldecoder
from collections.abc import Callable
from typing import Any

from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

MAX_WAITING_BYTES = 256 * 1024
"""Of output that the terminal has not taken yet; some ten frames of a large screen."""
DRAIN_SECONDS = 0.5
"""How long the terminal may take for the rest when the dashboard has ended."""
INPUT_SECONDS = 0.1
"""Between two looks at whether the dashboard has ended."""
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STDERR = 2
_CANCEL = b"\x18"
"""Ends a control sequence that was cut off."""


class Output:
    """What goes to a terminal, as much at a time as it takes. Belongs to one event loop."""

    def __init__(self, terminal_fd: int, loop: asyncio.AbstractEventLoop, *, room: Callable[[], None]) -> None:
        """Open the terminal once more, for a non-blocking mode that nobody shares with this process.

        Args:
            terminal_fd: A descriptor of the terminal.
            loop: Where the rest is written.
            room: Called when frames were dropped and the terminal has taken all that waited.

        Raises:
            OSError: The terminal is gone.
        """
        self._fd = os.open(f"/proc/self/fd/{terminal_fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        self._loop = loop
        self._room = room
        self._waiting = bytearray()
        self._last_words: int | None = None
        self._dropped = False

    def write(self, data: bytes) -> None:
        """Write a frame, or drop it if too much waits."""
        if len(self._waiting) > MAX_WAITING_BYTES and self._last_words is None:
            self._dropped = True
            return
        self._waiting += data
        self._send()

    def begin_last_words(self) -> None:
        """Mark what follows as that which the terminal has to get, whatever else it loses."""
        self._last_words = len(self._waiting)

    def close(self) -> None:
        """Write the rest for a moment; then the last words alone, if there is room for them at all."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._waiting and select.select([], [self._fd], [], max(0.0, deadline - time.monotonic()))[1]:
            self._send()
        if self._waiting and self._last_words is not None:
            termios.tcflush(self._fd, termios.TCOFLUSH)
            self._waiting[: self._last_words] = _CANCEL
            self._send()
        self._loop.remove_writer(self._fd)
        os.close(self._fd)

    def _send(self) -> None:
        try:
            taken = os.write(self._fd, self._waiting)
        except BlockingIOError:
            taken = 0
        except OSError:  # it is gone, and the end of input says so
            taken = len(self._waiting)
        del self._waiting[:taken]
        if self._last_words is not None:
            self._last_words = max(0, self._last_words - taken)
        if self._waiting:
            self._loop.add_writer(self._fd, self._send)
            return
        self._loop.remove_writer(self._fd)
        if self._dropped:
            self._dropped = False
            self._room()


class TerminalDriver(LinuxDriver):
    """Textual's driver with another way to write, to read and to end."""

    _output: Output | None = None
    _handlers: dict[int, Any]
    _encoding: str

    def start_application_mode(self) -> None:
        """Take over the signals, then the terminal."""
        self._handlers = {}
        if threading.current_thread() is threading.main_thread():
            for number in END_SIGNALS:
                if (handler := signal.getsignal(number)) is not signal.SIG_IGN:  # as nohup has it
                    self._handlers[number] = handler
                    self._loop.add_signal_handler(number, self._leave)
        self._encoding = getattr(sys.__stderr__, "encoding", "utf-8")
        try:
            self._output = Output(_STDERR, self._loop, room=self._repaint)
        except OSError:
            self._leave()
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def stop_application_mode(self) -> None:
        """Give the terminal its modes back."""
        if self._output is not None:
            self._output.begin_last_words()
        super().stop_application_mode()

    def write(self, data: str) -> None:
        """Write without waiting."""
        if self._output is not None:
            self._output.write(data.encode(self._encoding, "replace"))

    def close(self) -> None:
        """Let go of the terminal, then of the signals."""
        super().close()
        if self._output is not None:
            self._output.close()
            self._output = None
        for number, handler in self._handlers.items():
            self._loop.remove_signal_handler(number)
            signal.signal(number, handler)
        self._handlers = {}

    def run_input_thread(self) -> None:
        """Read keys until the dashboard, or the input, ends. Bytes that are no UTF-8 are unknown keys."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        try:
            while not self.exit_event.is_set():
                if select.select([self.fileno], [], [], INPUT_SECONDS)[0]:
                    data = self._read()
                    if not data:
                        self._loop.call_soon_threadsafe(self._leave)
                        return
                    for event in parser.feed(decode(data)):
                        self.process_message(event)
                for event in parser.tick():
                    self.process_message(event)
        finally:
            try:
                for _ in parser.feed(""):
                    pass
            except (EOFError, ParseError):
                pass  # a key that was cut off

    def _get_terminal_size(self) -> tuple[int, int]:
        """Returns Rich's idea of the size: where no size is known, or TERM is dumb, another one would never agree."""
        size = self._app.console.size
        return size.width, size.height

    def _read(self) -> bytes:
        """Return some bytes of input; none: there will be no more."""
        try:
            return os.read(self.fileno, 4096)
        except OSError:  # EIO: the terminal has hung up
            return b""

    def _repaint(self) -> None:
        self._app.refresh()

    def _leave(self) -> None:
        self._app.exit()
