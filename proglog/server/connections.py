"""Closing one connection of a gRPC server, which gRPC itself has no call for.

The process finds the socket by the peer's address and shuts it down; the transport then ends the connection's calls and
frees what it holds for them. The last resort against a client that takes nothing, not even its calls' end.
"""

import os
import socket
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import unquote

_DESCRIPTORS = Path("/proc/self/fd")


def close_connection(peer: str) -> bool:
    """Shut down this process's connection from ``peer``, as gRPC writes it: ``ipv4:127.0.0.1:80``, ``ipv6:%5B::1%5D:80``.

    Returns:
        Whether there was one.
    """
    wanted = _address(peer)
    if wanted is None:
        return False
    for descriptor in list(_DESCRIPTORS.iterdir()):
        try:
            with socket.socket(fileno=os.dup(int(descriptor.name))) as connection:
                if connection.family in (socket.AF_INET, socket.AF_INET6) and _remote(connection) == wanted:
                    connection.shutdown(socket.SHUT_RDWR)
                    return True
        except OSError:  # another kind of descriptor, or closed meanwhile
            continue
    return False


def _address(peer: str) -> tuple[str, int] | None:
    kind, _, rest = peer.partition(":")
    host, _, port = unquote(rest).rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return _plain(host.strip("[]")), int(port)


def _remote(connection: socket.socket) -> tuple[str, int]:
    host, port, *_ = connection.getpeername()
    return _plain(host), int(port)


def _plain(host: str) -> str:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
