"""A real ``serf agent`` on loopback, to test against: started, queried and killed by process id.

::

    async with SerfAgent("s1", key=key, tags={"role": "db"}) as agent:
        await agent.join(other.addr)
        statuses = {name: member.status for name, member in (await agent.members()).items()}

Queries use the stock command line, so tests see what an operator would see.

Processes are not started through the event loop: uvloop forks, and gRPC's fork handlers may wait indefinitely for
gRPC's own threads. ``subprocess`` does not trigger them.
"""

import asyncio
import base64
import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from proglog.errors import ConfigError, ProglogError
from proglog.testing.ports import free_port

START_TIMEOUT = 15.0
COMMAND_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
_POLL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class SerfMember:
    """A member as ``serf members -format=json`` shows it."""

    status: str
    """alive, leaving, left or failed."""
    addr: str
    """HOST:PORT."""
    tags: Mapping[str, str]
    """Its tags."""


class SerfAgent:
    """One agent. ``async with`` starts it and waits until it answers; leaving the block ends it."""

    def __init__(
        self,
        name: str,
        *,
        key: bytes | None = None,
        tags: Mapping[str, str] | None = None,
        addr: str = "",
        command: tuple[str, ...] = (),
    ) -> None:
        """Prepare an agent on free ports of 127.0.0.1.

        Args:
            name: Unique in the cluster; a name that exists would make a stock agent shut down.
            key: Encrypts its gossip.
            tags: Its tags.
            addr: HOST:PORT of its gossip, if not on loopback.
            command: Prefix of its command line, such as a network namespace.
        """
        self.name = name
        self.addr = addr or f"127.0.0.1:{free_port()}"
        self._prefix = command
        self._rpc_addr = f"127.0.0.1:{free_port()}"
        self._key = key
        self._tags = dict(tags or {})
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        """Start it.

        Raises:
            ConfigError: The program is not installed.
            ProglogError: It did not answer in time, with what it logged.
        """
        if shutil.which("serf") is None:
            raise ConfigError("the program `serf` is missing: `apt-get install serf`, or put it into PATH")
        self._folder = tempfile.TemporaryDirectory(prefix="proglog-serf-")
        await self.start()
        return self

    async def start(self) -> None:
        """Start it, again after :meth:`kill`; its log continues.

        Raises:
            ProglogError: It did not answer in time, with what it logged.
        """
        arguments = [f"-node={self.name}", f"-bind={self.addr}", f"-rpc-addr={self._rpc_addr}", "-log-level=debug"]
        arguments += [f"-tag={key}={value}" for key, value in self._tags.items()]
        if self._key is not None:
            arguments.append(f"-encrypt={base64.b64encode(self._key).decode()}")
        with self._log_file.open("ab") as log:
            self._process = await asyncio.to_thread(
                subprocess.Popen,
                [*self._prefix, "serf", "agent", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            await self._wait_until_it_answers()
        except BaseException:
            await self.kill()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it, and remove its log."""
        await self.kill()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "the agent has not been started"
        return self._process.pid

    @property
    def log(self) -> str:
        """Its log so far, at debug level."""
        return self._log_file.read_text(errors="replace")

    async def members(self) -> dict[str, SerfMember]:
        """Return the members as this agent sees them."""
        shown = json.loads(await self.command("members", "-format=json"))
        return {
            member["name"]: SerfMember(status=member["status"], addr=member["addr"], tags=member["tags"])
            for member in shown["members"]
        }

    async def join(self, addr: str) -> None:
        """Join the cluster of the node at ``addr``."""
        await self.command("join", addr)

    async def leave(self) -> None:
        """Leave gracefully; the process ends."""
        await self.command("leave")
        await self._wait_until_it_ended()

    async def kill(self) -> None:
        """Kill it at once, without a leave message."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            await self._wait_until_it_ended()

    async def command(self, verb: str, *arguments: str) -> str:
        """Run ``serf VERB`` against this agent and return what it printed.

        Raises:
            ProglogError: It failed, with what it printed.
        """
        command = [*self._prefix, "serf", verb, f"-rpc-addr={self._rpc_addr}", *arguments]
        try:
            done = await asyncio.to_thread(_run, command)
        except subprocess.TimeoutExpired as exc:
            raise ProglogError(f"serf {verb} at {self.name}: no end within {COMMAND_TIMEOUT:g} s") from exc
        if done.returncode:
            raise ProglogError(f"serf {verb} at {self.name}: {done.stdout.strip()}")
        return done.stdout

    @property
    def _log_file(self) -> Path:
        assert self._folder is not None, "the agent has not been started"
        return Path(self._folder.name) / "agent.log"

    async def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            assert self._process is not None, "started above"
            if self._process.poll() is not None:
                raise ProglogError(f"serf agent {self.name} ended with {self._process.returncode}: {self.log}")
            try:
                await self.command("members")
            except ProglogError:
                await asyncio.sleep(_POLL)
            else:
                return
        raise ProglogError(f"serf agent {self.name} did not answer within {START_TIMEOUT:g} s: {self.log}")

    async def _wait_until_it_ended(self) -> None:
        assert self._process is not None, "the agent has not been started"
        await asyncio.to_thread(self._process.wait, STOP_TIMEOUT)


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=COMMAND_TIMEOUT,
        check=False,
    )
