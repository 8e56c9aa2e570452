"""Network addresses as text: ``HOST:PORT``, with brackets around an IPv6 host."""

import ipaddress
import re
from collections.abc import Mapping

from proglog.errors import ConfigError

RPC_ADDR_TAG = "rpc_addr"
"""Gossip tag that holds the address of a member's gRPC server; a member without it is no proglog agent."""

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


def split_addr(addr: str, source: str, *, default_port: int | None = None) -> tuple[str, int]:
    """Return the host, without brackets, and the port of ``HOST:PORT`` or ``[IPV6]:PORT``.

    Args:
        addr: The address; it may come from another member.
        source: Flag, tag or file that holds it, for the error.
        default_port: For an address without one: ``HOST``, ``[IPV6]`` or ``IPV6``. ``None``: the port is required.

    Raises:
        ConfigError: ``addr`` is no address.
    """
    if default_port is not None and _is_ipv6(addr):
        addr = join_addr(addr, default_port)
    elif default_port is not None and (":" not in addr or addr.endswith("]")):
        addr = f"{addr}:{default_port}"
    host, _, port = addr.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else ""
    if not (_is_ipv6(bare) if bare else _HOST.fullmatch(host)) or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ConfigError(
            f"{source} {addr!r:.80}: expected HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:8401 or [::1]:8401"
        )
    return bare or host, int(port)


def rpc_addr_of(tags: Mapping[str, str]) -> str:
    """Return where a member says that it serves gRPC: HOST:PORT, or nothing.

    What else the tag holds - a target of another kind, a port that cannot be dialled - is nobody's address.
    """
    addr = tags.get(RPC_ADDR_TAG, "")
    try:
        _, port = split_addr(addr, RPC_ADDR_TAG)
    except ConfigError:
        return ""
    return addr if port else ""


def join_addr(host: str, port: int) -> str:
    """Return ``HOST:PORT``, with brackets around an IPv6 host: :func:`split_addr` reads it back."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """Return whether ``host`` is a wildcard: every address of a machine, and none that others could dial."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return host.isprintable()
