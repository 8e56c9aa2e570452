"""Hosts whose network is a relay in this process: loss, delay, duplicates, one-way cuts and blocked UDP without netem.

::

    [ host a: tun0 10.78.0.1, fd78::1 ]---+
    [ host b: tun0 10.78.0.2, fd78::2 ]---+---[ relay: every IP packet, one by one ]      each box is a namespace
    [ host c: tun0 10.78.0.3, fd78::3 ]---+

Each host is a network namespace with one tunnel interface; the relay reads its packets and writes them to the receiver's,
late, twice or not at all, as :class:`Weather` says. Faults apply to every protocol: a stock agent meets the same network as
one of ours. The machine's own network is untouched.

Needs root, Linux, ``ip`` of iproute2 and ``/dev/net/tun``; :func:`why_not` reports what is missing.
"""

import asyncio
import errno
import fcntl
import os
import secrets
import socket
import struct
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from kit import netns
from kit.netns import inside, run

MTU = 1500
_MIN_MTU6 = 1280
_NETWORK, _NETWORK6 = "10.78.0", "fd78::"
_TUN = Path("/dev/net/tun")
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_UDP = 17
_READS_A_TURN = 64


def why_not() -> str:
    """Return the reason why such hosts cannot be made here; empty if they can."""
    if not os.access(_TUN, os.R_OK | os.W_OK):
        return f"tunnels need {_TUN}"
    return netns.why_not()


@dataclass(slots=True, kw_only=True)
class Weather:
    """What the relay does to packets. Attributes may be changed at any time."""

    loss: float = 0.0
    """Share of packets that are dropped, of either protocol."""
    duplicates: float = 0.0
    """Share of packets that arrive twice, the second up to ``spread`` later."""
    spread: float = 0.0
    """Seconds of random delay, so that packets overtake each other."""
    delay: float = 0.0
    """Seconds from any host to any other, one way."""
    udp_blocked: frozenset[str] = frozenset()
    """Hosts whose UDP is dropped, both ways."""
    cut: frozenset[tuple[str, str]] = frozenset()
    """Pairs (from, to) between which everything is dropped, one way."""


def apart(*sides: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Return the cuts that separate hosts of different ``sides``."""
    groups = [list(side) for side in sides]
    return frozenset(
        (one, other) for left in groups for right in groups if left is not right for one in left for other in right
    )


@dataclass(slots=True, eq=False)
class RelayedHost:
    """A namespace with a tunnel. Made by :class:`RelayedNetwork`."""

    name: str
    namespace: str
    addr: str
    """IPv4."""
    addr6: str
    """IPv6."""
    tunnel: int
    """Descriptor of the relay's end."""
    distance: float
    """Seconds from here to the middle of the network, one way: of two hosts, both count."""

    @property
    def command(self) -> tuple[str, ...]:
        """Command prefix that runs a command in this namespace; the process keeps its id."""
        return ("ip", "netns", "exec", self.namespace)

    def socket(self, family: int = socket.AF_INET) -> socket.socket:
        """Return a TCP socket of this namespace, from which this host can be reached in any weather."""
        with inside(self.namespace):
            return socket.socket(family, socket.SOCK_STREAM)

    def limit_packets(self, octets: int) -> None:
        """Set the largest packet that this host sends: its MTU. Below 1,280 bytes it has no IPv6."""
        run("ip", "-n", self.namespace, "link", "set", "tun0", "mtu", str(octets))
        if octets >= _MIN_MTU6:
            run("ip", "-n", self.namespace, "address", "replace", f"{self.addr6}/64", "dev", "tun0", "nodad")


class RelayedNetwork:
    """The hosts and the relay. ``async with`` makes them; leaving the block removes them."""

    def __init__(self, distances: Mapping[str, float], *, seed: int = 7) -> None:
        """Describe the network.

        Args:
            distances: Of each host by its name: seconds to the middle of the network, one way.
            seed: Of all chance.
        """
        self.weather = Weather()
        self.hosts: dict[str, RelayedHost] = {}
        self.relayed = 0
        """Packets that were read."""
        self._distances = dict(distances)
        self._random = Random(seed)
        self._by_address: dict[bytes, RelayedHost] = {}
        self._made = ExitStack()

    async def __aenter__(self) -> Self:
        """Make the hosts.

        Raises:
            ProglogError: ``ip`` failed; :func:`why_not` checks beforehand.
        """
        prefix = f"proglog-{os.getpid()}-{secrets.token_hex(2)}"
        with ExitStack() as undo:
            for number, (name, distance) in enumerate(self._distances.items(), start=1):
                namespace = f"{prefix}-{name}"
                run("ip", "netns", "add", namespace)
                undo.callback(run, "ip", "netns", "delete", namespace)
                host = _host(name, namespace, number, distance)
                undo.callback(os.close, host.tunnel)
                self.hosts[name] = host
                for address in (host.addr, host.addr6):
                    self._by_address[ip_address(address).packed] = host
                loop = asyncio.get_running_loop()
                loop.add_reader(host.tunnel, self._read, host)
                undo.callback(loop.remove_reader, host.tunnel)
            self._made = undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the hosts and what runs in their network."""
        for host in self.hosts.values():
            host.tunnel = -1  # late packets go nowhere
        self._made.close()

    def round_trip(self, one: str, other: str) -> float:
        """Return the seconds that a packet and its answer travel between two hosts, in today's weather without spread."""
        return 2 * (self.hosts[one].distance + self.hosts[other].distance + self.weather.delay)

    def clear_up(self) -> None:
        """End every fault."""
        self.weather = Weather()

    def _read(self, host: RelayedHost) -> None:
        for _ in range(_READS_A_TURN):
            try:
                packet = os.read(host.tunnel, 65_536)
            except BlockingIOError:
                return
            self.relayed += 1
            self._relay(host, packet)

    def _relay(self, source: RelayedHost, packet: bytes) -> None:
        version = packet[0] >> 4
        address, protocol = (packet[16:20], packet[9]) if version == 4 else (packet[24:40], packet[6])
        target, weather, random = self._by_address.get(address), self.weather, self._random
        if target is None or (source.name, target.name) in weather.cut or random.random() < weather.loss:
            return
        if protocol == _UDP and (source.name in weather.udp_blocked or target.name in weather.udp_blocked):
            return
        way = source.distance + target.distance + weather.delay
        for _ in range(1 + (random.random() < weather.duplicates)):
            late = way + random.uniform(0, weather.spread)
            asyncio.get_running_loop().call_later(late, _write, target, packet)


def _host(name: str, namespace: str, number: int, distance: float) -> RelayedHost:
    with inside(namespace):
        tunnel = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tunnel, _TUNSETIFF, struct.pack("16sH22x", b"tun0", _IFF_TUN | _IFF_NO_PI))
    host = RelayedHost(name, namespace, f"{_NETWORK}.{number}", f"{_NETWORK6}{number:x}", tunnel, distance)
    run("ip", "-n", namespace, "address", "add", f"{host.addr}/24", "dev", "tun0")
    run("ip", "-n", namespace, "address", "add", f"{host.addr6}/64", "dev", "tun0", "nodad")
    run("ip", "-n", namespace, "link", "set", "tun0", "mtu", str(MTU), "up")
    run("ip", "-n", namespace, "link", "set", "lo", "up")
    return host


def _write(target: RelayedHost, packet: bytes) -> None:
    if target.tunnel < 0:
        return
    try:
        os.write(target.tunnel, packet)
    except OSError as exc:
        if exc.errno not in (errno.EAGAIN, errno.EIO, errno.EINVAL):  # full, down, or longer than its MTU: lost
            raise
