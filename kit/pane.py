"""A shell in a real terminal, tmux: what is on the screen can be read, keys pressed, the window resized."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time

DEADLINE = 30.0
"""Seconds for anything to be on the screen. How long it took is printed: under no load, a fifth of a second."""


class Pane:
    """A shell in a terminal of its own: one tmux server, one window."""

    def __init__(self, columns: int, lines: int) -> None:
        self._directory = tempfile.mkdtemp(prefix="proglog-tmux-")  # a socket's path is short
        self._tmux(
            "new-session", "-d", "-x", str(columns), "-y", str(lines), "env PS1='$ ' ENV= LC_ALL=C.UTF-8 TZ=UTC sh"
        )
        self._tmux("set-option", "-g", "status", "off")
        self.resize(columns, lines)

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-u", "-f", "/dev/null", "-S", f"{self._directory}/socket", *arguments]
        environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "TMUX"}}
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=environment).stdout

    @property
    def text(self) -> str:
        """What is on the screen."""
        return self._tmux("capture-pane", "-p")

    def ask(self, *names: str) -> list[str]:
        """Return facts about the terminal, by tmux's names."""
        return self._tmux("display-message", "-p", " ".join(f"#{{{name}}}" for name in names)).split()

    def type(self, text: str) -> None:
        """Type a line into it."""
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(lines))

    async def shows(self, *words: str, within: float = DEADLINE) -> float:
        """Wait until all ``words`` are on the screen; return the seconds that it took."""
        started = time.monotonic()
        while missing := [word for word in words if word not in self.text]:
            assert time.monotonic() - started < within, f"{missing} not within {within} s:\n{self.text}"
            await asyncio.sleep(0.02)
        return time.monotonic() - started

    def close(self) -> None:
        """End the server and all that runs in it."""
        self._tmux("kill-server")
        shutil.rmtree(self._directory)
