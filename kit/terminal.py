"""A program on a pseudo terminal: records its output, byte for byte, and sends keys and sizes.

The terminal answers no queries: a program that asks for its features treats it as a plain one.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.patience import patience

ESCAPE = re.compile(rb"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)|[P^_X][^\x1b]*\x1b\\|\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])")
"""A control sequence: OSC, a string, CSI, or a short one (ECMA-48)."""
_CHUNK = 1 << 16
_TYPED = 256
"""Bytes typed at once: a terminal buffers a few thousand unread ones."""


class Terminal:
    """Runs a command; ``with`` kills it if it still runs."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 140,
        lines: int = 40,
        env: Mapping[str, str] | None = None,
        directory: Path | None = None,
        term: str = "xterm-256color",
        clogged: bool = False,
    ) -> None:
        """Start it.

        Args:
            command: Program and arguments.
            columns: Of the screen.
            lines: Of the screen.
            env: Its environment; ``None``: this one. ``TERM``, and a size in it, are replaced.
            directory: Its working directory; ``None``: the current one.
            term: The kind of terminal, for its ``TERM``.
            clogged: Whether the terminal is full from the start, as after :meth:`clog`.
        """
        self.output = bytearray()
        """Everything that was written since the start."""
        self._master, slave = pty.openpty()
        self._name = os.ttyname(slave)
        self._set_size(columns, lines)
        given = {**(os.environ if env is None else env), "TERM": term, "COLORTERM": "truecolor"}
        environment = {name: value for name, value in given.items() if name not in {"COLUMNS", "LINES"}}
        if clogged:
            self.clog()
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True, cwd=directory
        )
        os.close(slave)

    def __enter__(self) -> Self:
        """Return itself, running."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it, if it still runs."""
        self.process.kill()
        self.process.wait()
        if self._master >= 0:
            os.close(self._master)

    @property
    def text(self) -> str:
        """The output, without control sequences."""
        return ESCAPE.sub(b"", bytes(self.output)).decode("utf-8", "replace")

    def read(self, seconds: float) -> bool:
        """Read output for up to ``seconds``; return whether there was any."""
        ready, _, _ = select.select([self._master], [], [], max(seconds, 0.0))
        if not ready:
            return False
        try:
            chunk = os.read(self._master, _CHUNK)
        except OSError:  # the other end is closed
            return False
        self.output += chunk
        return bool(chunk)

    def drain(self, seconds: float) -> None:
        """Read all output of the next ``seconds``."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.read(until - time.monotonic())

    def until(self, condition: Callable[[str], bool], *, timeout: float = 20.0) -> float:
        """Read until ``condition`` holds for :attr:`text`; return the seconds since the start.

        Raises:
            AssertionError: Not within ``timeout`` seconds; the message has the end of the text.
        """
        deadline = time.monotonic() + patience(timeout)
        while not condition(self.text):
            ended = self.process.poll() is not None and not self.read(0)
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"{'it ended' if ended else f'not within {timeout} s'}: {self.text[-2000:]}")
            self.read(0.05)
        return time.monotonic() - self.started

    def send(self, keys: str) -> None:
        """Type ``keys`` as fast as the program takes them, and read output meanwhile."""
        left = keys.encode()
        while left and self.process.poll() is None:
            _, ready, _ = select.select([], [self._master], [], 0)
            if ready:
                left = left[os.write(self._master, left[:_TYPED]) :]
            self.read(0 if ready else 0.01)

    def clog(self) -> None:
        """Fill the terminal's output buffer: writes block until something is read."""
        writer = os.open(self._name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            while True:
                os.write(writer, b" " * 64)
        except BlockingIOError:
            os.close(writer)

    def hang_up(self) -> None:
        """Close the terminal: its session gets SIGHUP, its input ends."""
        os.close(self._master)
        self._master = -1

    @property
    def raw(self) -> bool:
        """Whether the terminal is in raw mode without echo, as for a full-screen program."""
        return not termios.tcgetattr(self._master)[3] & (termios.ICANON | termios.ECHO)

    def resize(self, columns: int, lines: int) -> None:
        """Resize the screen and signal it."""
        self._set_size(columns, lines)
        self.process.send_signal(signal.SIGWINCH)

    def left_by(self, key: str, timeout: float = 10.0) -> int:
        """Type ``key`` each second until the program ends; return its exit code.

        An escape and the key behind it are one key to a program that had no time to read between them.

        Raises:
            AssertionError: It did not end in time.
        """
        deadline = time.monotonic() + patience(timeout)
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it still runs after {timeout} s of {key!r}: {self.text[-500:]}"
            self.send(key)
            again = time.monotonic() + 1.0
            while self.process.poll() is None and time.monotonic() < again:
                self.read(0.05)
        return self.ended()

    def ended(self, timeout: float = 10.0) -> int:
        """Read until the program ends; return its exit code.

        Raises:
            AssertionError: It did not end in time.
        """
        deadline = time.monotonic() + patience(timeout)
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it still runs after {timeout} s: {self.text[-500:]}"
            self.read(0.05)
        while self.read(0):
            pass
        return int(self.process.wait())

    def cpu_seconds(self) -> float:
        """Return the processor time that the program has used, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
