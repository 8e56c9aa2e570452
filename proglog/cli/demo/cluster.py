"""Agents of their own, on loopback, with certificates and rules made for them; gone when the demonstration is.

Every agent is a child that the kernel ends with its parent (``PR_SET_PDEATHSIG``), so that not even a killed
demonstration leaves one behind.
"""

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from proglog.cli import own_process
from proglog.cli.interruption import held
from proglog.errors import ProglogError, UnavailableError
from proglog.security.actions import ACTIONS
from proglog.security.devcerts import create_dev_certs
from proglog.security.devrules import create_gossip_key, create_rules
from proglog.security.tls import TLSFiles

READY_TIMEOUT = 30.0
STOP_TIMEOUT = 2.5
"""Seconds for all agents to leave in order: a demonstration ends within five."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class DemoNode:
    """One agent of the demonstration."""

    name: str
    rpc_addr: str
    gossip_addr: str
    process: "subprocess.Popen[str]"
    telemetry: Path


@dataclass(slots=True)
class DemoCluster:
    """A cluster in a directory; ``with`` starts and ends it."""

    size: int = 3
    keep: Path | None = None
    """Data directory to keep; ``None``: a temporary one, removed at the end."""
    flags: dict[str, object] = field(default_factory=dict)
    """Further flags of every agent."""
    nodes: list[DemoNode] = field(default_factory=list)
    tls: TLSFiles = field(init=False)
    directory: Path = field(init=False)
    _scratch: "tempfile.TemporaryDirectory[str] | None" = None

    def __enter__(self) -> Self:
        """Start the agents, one after the other.

        Raises:
            ProglogError: One did not become ready; none is left.
        """
        try:
            with held():
                atexit.register(self.close)  # an interruption may come before the block is entered
                self.directory = self.keep.absolute() if self.keep else self._make_scratch()
            self.directory.mkdir(parents=True, exist_ok=True)
            certs = create_dev_certs(self.directory / "certs")
            self.tls = certs.clients["root"]
            create_rules(self.directory, {"root": ACTIONS})
            create_gossip_key(self.directory)
            for number in range(self.size):
                with held():
                    self.nodes.append(self._start(f"node-{number + 1}", certs.server, certs.peer))
            for node in self.nodes:
                _wait_ready(node)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the agents, remove the data."""
        self.close()

    def close(self) -> None:
        """Stop every agent, gracefully and then for certain, and remove the data. A second time does nothing."""
        with held():
            for node in self.nodes:
                node.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + STOP_TIMEOUT
            for node in self.nodes:
                try:
                    node.process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    node.process.kill()
                    node.process.wait()
            self.nodes.clear()
            if self._scratch is not None:
                self._scratch.cleanup()
            atexit.unregister(self.close)

    def _make_scratch(self) -> Path:
        self._scratch = tempfile.TemporaryDirectory(prefix="proglog-demo-", ignore_cleanup_errors=True)
        return Path(self._scratch.name)

    def _start(self, name: str, server: TLSFiles, peer: TLSFiles) -> DemoNode:
        gossip_port, rpc_port = _free_ports()
        gossip_addr = f"127.0.0.1:{gossip_port}"
        flags = {
            "node-name": name,
            "data-dir": self.directory / name,
            "bind-addr": gossip_addr,
            "rpc-port": rpc_port,
            "acl-model-file": self.directory / "model.conf",
            "acl-policy-file": self.directory / "policy.csv",
            "encrypt-file": self.directory / "gossip.key",
            **self.flags,
        }
        for side, files in (("server", server), ("peer", peer)):
            flags |= {
                f"{side}-tls-cert-file": files.cert_file,
                f"{side}-tls-key-file": files.key_file,
                f"{side}-tls-ca-file": files.ca_file,
            }
        if self.nodes:
            flags["start-join-addrs"] = self.nodes[0].gossip_addr
        arguments = [part for flag, value in flags.items() for part in (f"--{flag}", str(value))]
        telemetry = self.directory / f"{name}.telemetry"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}
        with telemetry.open("w") as errors:
            process = subprocess.Popen(
                [*own_process.command(), "serve", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=own_process.environment(clean),
                process_group=0,  # Ctrl-C is ours to hand on
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, and no threads yet
            )
        return DemoNode(name, f"127.0.0.1:{rpc_port}", gossip_addr, process, telemetry)


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends; runs in a new child."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_ports() -> tuple[int, int]:
    """Return two unused loopback ports: the first is free for TCP and UDP."""
    with socket.socket() as gossip, socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as rpc:
        gossip.bind(("127.0.0.1", 0))
        port = gossip.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        rpc.bind(("127.0.0.1", 0))
        return port, rpc.getsockname()[1]


def _wait_ready(node: DemoNode) -> None:
    """Return when the agent has printed its ready line."""
    import select

    assert node.process.stdout is not None  # a pipe: see Popen
    readable, _, _ = select.select([node.process.stdout], [], [], READY_TIMEOUT)
    line = node.process.stdout.readline() if readable else ""
    if line.startswith("ready "):
        return
    if node.process.poll() is None:
        raise UnavailableError(f"{node.name} was not ready within {READY_TIMEOUT:.0f} s")
    lines = node.telemetry.read_text(errors="replace").strip().splitlines()
    raise ProglogError(f"{node.name} ended with code {node.process.returncode}: {lines[-1] if lines else 'no output'}")
