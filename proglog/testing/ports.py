"""Loopback ports that no other process takes, even while the agent that uses one restarts.

The kernel picks ports for outgoing connections, and for port 0, from its ephemeral range: another process may take a
port from it before it is bound again. These ports lie below that range. Processes share them in blocks: a
block belongs to the process that holds an abstract Unix socket with its number, until that process ends.
"""

import atexit
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from proglog.errors import ProglogError

FIRST_PORT = 10_240
BLOCK_PORTS = 64
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_EPHEMERAL = 32_768


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free for TCP and UDP and reserved for this caller.

    Raises:
        ProglogError: Every port below the ephemeral range is taken.
    """
    with _LOCK:
        return next(_PORTS)


def _ports() -> Iterator[int]:
    """Yields free ports in rotation; takes another block whenever a round found none."""
    owned: list[range] = []
    while True:
        found = 0
        for port in (port for block in owned for port in block):
            if _is_free(port):
                found += 1
                yield port
        if not found:
            owned.append(_claim())


def _claim() -> range:
    """Reserve a block for this process and return it."""
    for start in range(FIRST_PORT, _ephemeral_start() - BLOCK_PORTS, BLOCK_PORTS):
        guard = socket.socket(socket.AF_UNIX)
        try:
            guard.bind(f"\0proglog-ports-{start}")
        except OSError:  # another process's
            guard.close()
        else:
            _GUARDS.append(guard)
            return range(start, start + BLOCK_PORTS)
    raise ProglogError("no free ports below the ephemeral range")


def _is_free(port: int) -> bool:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        try:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _ephemeral_start() -> int:
    """Return where the kernel's ephemeral range begins; the usual value if it leaves no room below."""
    start = int(_EPHEMERAL.read_text().split()[0])
    return start if start > FIRST_PORT + BLOCK_PORTS else _USUAL_EPHEMERAL


_LOCK = threading.Lock()
_GUARDS: list[socket.socket] = []


@atexit.register
def _close_guards() -> None:
    """Leave the blocks in order: under ``-W error``, a socket that is open at the end is a complaint."""
    for guard in _GUARDS:
        guard.close()


_PORTS = _ports()
