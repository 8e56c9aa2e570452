"""Which servers that were never reached are dialled now: gossip decides how many there are, so they take turns. Pure.

::

    new --> front of the queue --> dialling --> reached: its turn is over, and it needs none again
                    ^                  | failed, and others wait
                    +------ back ------+

A server that waits costs its entry in the queue: no task, no channel.
"""

from collections import OrderedDict
from collections.abc import Callable

from proglog.agent.peer import FollowedPeer

MAX_DIALLING = 16
"""Servers that are dialled at once and have not been reached yet."""


class Turns:
    """The queue."""

    def __init__(self, dial: Callable[[FollowedPeer], None]) -> None:
        """Call ``dial`` with each server whose turn it is."""
        self._dial = dial
        self._dialling: set[str] = set()
        self._waiting: OrderedDict[str, FollowedPeer] = OrderedDict()

    @property
    def crowded(self) -> bool:
        """Whether any server waits."""
        return bool(self._waiting)

    def join(self, peer: FollowedPeer) -> None:
        """Take a new server: it is next, whatever was claimed before."""
        self._waiting[peer.name] = peer
        self._waiting.move_to_end(peer.name, last=False)
        self._fill()

    def pass_on(self, peer: FollowedPeer) -> bool:
        """Return whether others wait for the turn of ``peer``; then it goes to the back of the queue."""
        if not self._waiting or peer.name not in self._dialling:
            return False
        self._dialling.discard(peer.name)
        self._waiting[peer.name] = peer
        self._fill()
        return True

    def end(self, peer: FollowedPeer) -> None:
        """End the turn of a server that was reached or left. Idempotent."""
        self._waiting.pop(peer.name, None)
        self._dialling.discard(peer.name)
        self._fill()

    def close(self) -> None:
        """Have nobody dialled any more."""
        self._waiting.clear()

    def _fill(self) -> None:
        while self._waiting and len(self._dialling) < MAX_DIALLING:
            name, peer = self._waiting.popitem(last=False)
            self._dialling.add(name)
            self._dial(peer)
