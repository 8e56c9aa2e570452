"""A port is its caller's alone: no other process gets it, and the kernel hands it to nobody."""

import socket
import subprocess
import sys

from proglog.testing.ports import FIRST_PORT, _ephemeral_start, free_port

OTHER = "from proglog.testing.ports import free_port; print(*(free_port() for _ in range(100)))"


def test_a_port_is_free_for_tcp_and_udp_and_below_those_of_the_kernel() -> None:
    port = free_port()
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", port))
        udp.bind(("127.0.0.1", port))
    assert FIRST_PORT <= port < _ephemeral_start()


def test_a_port_that_is_taken_is_passed_over() -> None:
    port = free_port()
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", port))
        assert port not in {free_port() for _ in range(300)}


def test_two_processes_share_no_port() -> None:
    mine = {free_port() for _ in range(300)}
    other = subprocess.run([sys.executable, "-c", OTHER], capture_output=True, text=True, check=True, timeout=60)
    theirs = set(map(int, other.stdout.split()))
    assert len(theirs) > 30
    assert not mine & theirs
