"""The network that the other tests stand on: its faults are what they say, and nothing of it stays."""

import subprocess
import sys

import pytest

from kit.netns import Host, Switch

DIAL = """
import socket, sys
dialling = socket.socket()
dialling.settimeout(0.5)
try:
    dialling.connect((sys.argv[1], 9))
except ConnectionRefusedError:
    print("arrived")
except TimeoutError:
    print("lost")
except OSError:
    print("refused")
"""


def dial(source: Host, target: Host) -> str:
    """Return what became of a TCP handshake: nobody listens, so an answer is that of the target's kernel."""
    command = [*source.command, sys.executable, "-c", DIAL, target.addr]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def namespaces() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def test_a_cut_is_silent_and_mends() -> None:
    with Switch() as switch:
        a, b, c = (switch.host(name) for name in "abc")
        assert dial(a, b) == "arrived"

        switch.cut(a, b)
        assert [dial(a, b), dial(b, a), dial(a, c), dial(c, b)] == ["lost", "lost", "arrived", "arrived"]

        switch.heal()
        assert [dial(a, b), dial(b, a)] == ["arrived", "arrived"]


def test_a_refusal_is_reported_to_the_sender_at_once() -> None:
    with Switch() as switch:
        a, b = switch.host("a"), switch.host("b")
        a.refuse(b)
        assert dial(a, b) == "refused"

        a.reach(b)
        assert dial(a, b) == "arrived"


def test_nothing_of_a_switch_stays_even_after_a_failure() -> None:
    with pytest.raises(KeyError), Switch() as switch:
        switch.host("a")
        assert switch.namespace in namespaces()
        raise KeyError

    assert switch.namespace.removesuffix("switch") not in namespaces()
