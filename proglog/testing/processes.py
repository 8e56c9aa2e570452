"""Agents as separate processes: started, killed, stopped and restarted on the same ports and data."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from proglog.addr import split_addr
from proglog.testing.ports import free_port

READY_TIMEOUT = 30.0


@dataclass(slots=True)
class AgentProcess:
    """``proglog serve`` as a separate process. ``with`` starts it and kills it.

    It listens on loopback unless flags say otherwise: on free ports at first, and on the same ones after a restart.
    """

    name: str
    directory: Path
    """Directory of its data and telemetry."""
    seeds: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    """Additional flags, without the dashes; one with an empty value is a switch."""
    rpc_addr: str = ""
    gossip_addr: str = ""
    command: tuple[str, ...] = ()
    """Prefix of the command line, such as a network namespace."""
    ready_timeout: float = READY_TIMEOUT
    """Seconds from its start until it must be ready."""
    process: "subprocess.Popen[str] | None" = None
    ready_line: str = ""
    """Its latest ready line."""

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it if it is running. Its data stays."""
        self.kill()

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            AssertionError: It ended, or was not ready in time; the message has its telemetry.
        """
        self.rpc_addr = self.rpc_addr or f"127.0.0.1:{free_port()}"
        self.gossip_addr = self.gossip_addr or f"127.0.0.1:{free_port()}"
        flags = {
            "node-name": self.name,
            "data-dir": str(self.directory / self.name),
            "bind-addr": self.gossip_addr,
            "rpc-port": str(split_addr(self.rpc_addr, "rpc_addr")[1]),
            **({"start-join-addrs": ",".join(self.seeds)} if self.seeds else {}),
            **self.flags,
        }
        arguments = [part for flag, value in flags.items() for part in (f"--{flag}", value) if part]
        with self.telemetry.open("a") as errors:
            self.process = subprocess.Popen(
                [*self.command, sys.executable, "-m", "proglog", "serve", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout is not None  # a pipe, as asked for
        readable, _, _ = select.select([self.process.stdout], [], [], self.ready_timeout)
        line = self.process.stdout.readline() if readable else ""
        if not line.startswith("ready "):
            self.kill()
            raise AssertionError(f"{self.name} is not ready: {line!r}\n{self.telemetry.read_text()[-2000:]}")
        self.ready_line = line
        facts = dict(part.split("=", 1) for part in line.partition(" health=")[0].split()[1:])
        self.rpc_addr, self.gossip_addr = facts["rpc"], facts["gossip"]

    @property
    def telemetry(self) -> Path:
        """Its stderr output, over all runs."""
        return self.directory / f"{self.name}.telemetry"

    def kill(self) -> None:
        """Kill it, as ``kill -9`` does."""
        self._end(signal.SIGKILL, 10)

    def stop(self, timeout: float = 10.0) -> float:
        """Stop it with SIGTERM; return the seconds that it took.

        Raises:
            subprocess.TimeoutExpired: It did not end in time.
        """
        started = time.monotonic()
        self._end(signal.SIGTERM, timeout)
        return time.monotonic() - started

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None, "not started"
        return self.process.pid

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None, "not started"
        self.process.send_signal(number)

    def cpu_seconds(self) -> float:
        """Return its processor time, user and system, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _end(self, number: int, timeout: float) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(number)
        process.wait(timeout)
        assert process.stdout is not None  # a pipe, as asked for
        process.stdout.close()
