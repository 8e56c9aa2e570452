"""The addresses an agent advertises: never the wildcard that it listens on.

::

    gossip    --advertise-addr, else the host of --bind-addr; of a wildcard a private address of this machine
    gRPC      --rpc-advertise-addr, else the host of the above with the port that the server listens on

The private address is the one that the default route leaves from, else the first of the interfaces that are up, as in
stock agents. A machine that has none needs the flag: a public address is never picked by itself.
"""

import asyncio
import contextlib
import fcntl
import ipaddress
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from proglog.addr import is_loopback, is_wildcard, join_addr, split_addr
from proglog.agent.config import AgentConfig
from proglog.agent.resolver import Resolver
from proglog.errors import ConfigError, UnavailableError

RESOLVE_TIMEOUT = 5.0
"""Seconds for a name that this node binds to or advertises."""
_SIOCGIFADDR, _SIOCGIFFLAGS, _IFF_UP = 0x8915, 0x8913, 1
_GLOBAL_SCOPE = "00"

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Addresses:
    """Of one agent."""

    gossip: str
    """HOST:PORT with an IP address, as gossip carries no names; port 0: the one that is bound."""
    rpc: str
    """HOST:PORT; the host may be a name."""


async def addresses(config: AgentConfig, rpc_port: int, resolver: Resolver) -> Addresses:
    """Return the addresses of an agent whose server listens on ``rpc_port``.

    Raises:
        ConfigError: A name is not resolved, or a wildcard leaves nothing that others could dial.
    """
    host, _ = split_addr(config.bind_addr, "--bind-addr")
    bind = (await own_addresses(host, "--bind-addr", resolver))[0]
    if config.advertise_addr:
        named, port = split_addr(config.advertise_addr, "--advertise-addr", default_port=0)
        gossip = (await own_addresses(named, "--advertise-addr", resolver))[0]
    elif is_wildcard(bind):
        named = gossip = private_address(bind)
        port = 0
    else:
        named, gossip, port = host, bind, 0
    if config.rpc_advertise_addr:
        named, given = split_addr(config.rpc_advertise_addr, "--rpc-advertise-addr", default_port=0)
        rpc_port = given or rpc_port
        if is_loopback(named) and not is_loopback(gossip):
            raise ConfigError(
                f"--rpc-advertise-addr {config.rpc_advertise_addr}: members that reach this node's gossip at {gossip}"
                " would dial themselves; give an address of this machine"
            )
    return Addresses(join_addr(gossip, port), join_addr(named, rpc_port))


async def own_addresses(host: str, flag: str, resolver: Resolver) -> tuple[str, ...]:
    """Return the IP addresses of a host that is this node.

    Raises:
        ConfigError: It is not resolved in time, or at all.
    """
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            return await resolver.resolve(host)
    except TimeoutError as exc:
        raise ConfigError(f"{flag}: {host} is not resolved within {RESOLVE_TIMEOUT:g} s") from exc
    except UnavailableError as exc:
        raise ConfigError(f"{flag}: {exc}") from exc


def private_address(wildcard: str) -> str:
    """Return the private address of this machine to advertise for ``0.0.0.0`` or ``::``.

    Raises:
        ConfigError: It has none.
    """
    candidates = _ipv6_addresses() if ":" in wildcard else _ipv4_addresses()
    for address in candidates:
        if address.is_private and not (address.is_loopback or address.is_link_local or address.is_unspecified):
            return str(address)
    raise ConfigError(
        f"--bind-addr {wildcard}: this machine has no private address to"
        " advertise; give --advertise-addr HOST:PORT, the address at which other members reach this node"
    )


def _ipv4_addresses() -> list[IPAddress]:
    found = _of_default_route(socket.AF_INET, "192.0.2.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with contextlib.suppress(OSError):  # an interface without an address
                flags = struct.unpack_from("<H", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request), 16)[0]
                if flags & _IFF_UP:
                    packed = fcntl.ioctl(any_socket, _SIOCGIFADDR, request)[20:24]
                    found.append(ipaddress.ip_address(packed))
    return found


def _ipv6_addresses() -> list[IPAddress]:
    found = _of_default_route(socket.AF_INET6, "2001:db8::1")
    with contextlib.suppress(OSError):  # a kernel without IPv6
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            address, _, _, scope, *_ = line.split()
            if scope == _GLOBAL_SCOPE:
                found.append(ipaddress.ip_address(bytes.fromhex(address)))
    return found


def _of_default_route(family: socket.AddressFamily, somewhere: str) -> list[IPAddress]:
    """Return the address that packets to the world leave from, if there is a way; nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect((somewhere, 9))
        except OSError:
            return []
        return [ipaddress.ip_address(udp.getsockname()[0].partition("%")[0])]
