"""Separate hosts on one machine: Linux network namespaces around a switch, and the faults of real networks.

::

    [ host a: eth0 10.77.0.1 ]--veth--+
    [ host b: eth0 10.77.0.2 ]--veth--+--[ switch: br0 10.77.0.254 ]      each box is a namespace
    [ host c: eth0 10.77.0.3 ]--veth--+

The machine's own network is untouched: nothing is added outside these namespaces, and every test uses the same
addresses. A fault is one-way unless stated otherwise, and silent: frames go to a hardware address that no interface has,
so neither end is notified, as with a real black hole. :meth:`Host.refuse` is the loud kind: the kernel answers the
sender with an error. A client that must work during a fault (one that watches both halves of a partition) dials from
inside the switch, which faults between hosts do not affect.

Needs root, Linux, and ``ip`` and ``tc`` of iproute2; :func:`why_not` reports what is missing. Kernels without the netem
queue can neither delay nor drop at random: :meth:`Host.slow_down` limits the rate, which works everywhere.
"""

import ctypes
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from proglog.errors import ProglogError

MAX_HOSTS = 200
_NETWORK = "10.77.0"
_SWITCH_ADDR = f"{_NETWORK}.254"
_NOWHERE = "02:00:00:00:00:fe"
"""A locally administered hardware address that no interface of a switch has."""
_CLONE_NEWNET = 0x40000000
_NAMESPACES = Path("/run/netns")
_QUEUE_MS = 400


def why_not() -> str:
    """Return the reason why namespaces cannot be made here; empty if they can."""
    missing = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
    if missing:
        return f"network namespaces need {' and '.join(missing)} of iproute2"
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = f"proglog-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"this kernel makes no network namespaces: {made.stderr.strip()}"
    run("ip", "netns", "delete", probe)
    return ""


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace with one interface on the switch. Made by :meth:`Switch.host`."""

    namespace: str
    addr: str
    """IPv4."""
    port: str
    """The switch's end of its cable, an interface there."""
    switch: str
    """The switch's namespace."""

    @property
    def command(self) -> tuple[str, ...]:
        """Command prefix that runs a command in this namespace; the process keeps its id."""
        return ("ip", "netns", "exec", self.namespace)

    def lose(self, other: "Host") -> None:
        """Drop, silently, all traffic from this host to ``other``."""
        neighbour = (other.addr, "lladdr", _NOWHERE, "dev", "eth0", "nud", "permanent")
        run("ip", "-n", self.namespace, "neighbour", "replace", *neighbour)

    def refuse(self, other: "Host") -> None:
        """Make the kernel refuse all traffic from this host to ``other``."""
        run("ip", "-n", self.namespace, "route", "replace", "blackhole", f"{other.addr}/32")

    def reach(self, other: "Host") -> None:
        """Undo :meth:`lose` and :meth:`refuse`. Idempotent."""
        for what in (
            ("neighbour", "delete", other.addr, "dev", "eth0"),
            ("route", "delete", "blackhole", f"{other.addr}/32"),
        ):
            subprocess.run(["ip", "-n", self.namespace, *what], capture_output=True, check=False)  # absent: fine

    def slow_down(self, bytes_per_second: int) -> None:
        """Limit the rate of all traffic *to* this host, until :meth:`speed_up`."""
        rate = ("rate", f"{bytes_per_second * 8}bit", "burst", "8kb", "latency", f"{_QUEUE_MS}ms")
        run("tc", "-n", self.switch, "qdisc", "replace", "dev", self.port, "root", "tbf", *rate)

    def speed_up(self) -> None:
        """Undo :meth:`slow_down`."""
        run("tc", "-n", self.switch, "qdisc", "delete", "dev", self.port, "root")


class Switch:
    """Hosts and the network between them. ``with`` creates it; leaving the block removes it."""

    def __init__(self) -> None:
        self._prefix = f"proglog-{os.getpid()}-{secrets.token_hex(2)}"
        self._hosts: dict[str, Host] = {}
        self._made = ExitStack()

    @property
    def namespace(self) -> str:
        """The switch's own namespace."""
        return f"{self._prefix}-switch"

    def __enter__(self) -> Self:
        """Make the switch.

        Raises:
            ProglogError: ``ip`` failed; :func:`why_not` checks beforehand.
        """
        with ExitStack() as undo:
            self._add_namespace(self.namespace, undo)
            self._ip("link", "add", "br0", "type", "bridge")
            self._ip("address", "add", f"{_SWITCH_ADDR}/24", "dev", "br0")
            self._ip("link", "set", "br0", "up")
            self._made = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove every namespace, and with them cables, routes and queues."""
        self._made.close()

    def host(self, name: str) -> Host:
        """Return the host ``name``; create and connect it if it is new."""
        if name not in self._hosts:
            self._hosts[name] = self._plug_in(name, len(self._hosts) + 1)
        return self._hosts[name]

    def cut(self, left: Host, right: Host) -> None:
        """Drop all traffic between two hosts, in both directions."""
        left.lose(right)
        right.lose(left)

    def join(self, left: Host, right: Host) -> None:
        """Restore traffic between two hosts, in both directions."""
        left.reach(right)
        right.reach(left)

    def heal(self) -> None:
        """Restore traffic between all hosts."""
        hosts = list(self._hosts.values())
        for one in hosts:
            for other in hosts:
                if one is not other:
                    one.reach(other)

    def socket(self) -> socket.socket:
        """Return a TCP socket of the switch's namespace, which it keeps wherever it is used."""
        with inside(self.namespace):
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    def _plug_in(self, name: str, number: int) -> Host:
        if number > MAX_HOSTS:
            raise ProglogError(f"a switch has {MAX_HOSTS} ports")
        host = Host(f"{self._prefix}-{name}", f"{_NETWORK}.{number}", f"port{number}", self.namespace)
        self._add_namespace(host.namespace, self._made)
        self._ip("link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        self._ip("link", "set", host.port, "master", "br0", "up")
        run("ip", "-n", host.namespace, "address", "add", f"{host.addr}/24", "dev", "eth0")
        for interface in ("lo", "eth0"):
            run("ip", "-n", host.namespace, "link", "set", interface, "up")
        return host

    def _add_namespace(self, namespace: str, undo: ExitStack) -> None:
        run("ip", "netns", "add", namespace)
        undo.callback(run, "ip", "netns", "delete", namespace)

    def _ip(self, *arguments: str) -> None:
        run("ip", "-n", self.namespace, *arguments)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Enter a namespace for the block, in this thread only; a socket stays in the namespace where it was made."""
    with Path("/proc/thread-self/ns/net").open() as home, (_NAMESPACES / namespace).open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(namespace_fd: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace_fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def run(*command: str) -> None:
    """Run a command.

    Raises:
        ProglogError: It failed, with what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProglogError(f"{' '.join(command)}: {done.stderr.strip()}")
