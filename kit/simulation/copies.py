"""Records that wait for a second copy: checks the promise of ``acks=2`` against the other disks."""

from collections.abc import Iterable
from dataclasses import dataclass

from kit.simulation.invariants import Truth, batch_with
from kit.simulation.node import Node
from kit.simulation.rules import Violation
from proglog.log.model import Appended

MAX_PENDING = 8
"""Most records of one node that wait for acks."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    node_name: str
    appended: Appended
    payload_crc: int


class Copies:
    """Invariant I5: a record that a node counts as copied is on another disk, as it was produced."""

    def __init__(self, nodes: Iterable[Node], truth: Truth) -> None:
        """Check the logs of ``nodes``."""
        self.acknowledged = 0
        self._nodes = list(nodes)
        self._truth = truth
        self._waiting: list[_Waiting] = []

    def wait_for(self, node: Node, appended: Appended, payload_crc: int) -> None:
        """Expect a second copy of a batch; beyond a bound, drop the oldest expectations."""
        self._waiting.append(_Waiting(node.name, appended, payload_crc))
        self._waiting = self._waiting[-MAX_PENDING * len(self._nodes) :]

    def forget(self, node: Node) -> None:
        """Drop the waiters of ``node``, which went down."""
        self._waiting = [each for each in self._waiting if each.node_name != node.name]

    def count(self, node: Node) -> None:
        """Acknowledge the records that ``node`` counts as copied.

        Raises:
            Violation: It is nowhere else.
        """
        assert node.log is not None
        waiting = []
        for each in self._waiting:
            appended = each.appended
            if each.node_name != node.name or not node.followers.copies(appended.origin, appended.next_sequence):
                waiting.append(each)
                continue
            if not node.log.holds(appended):
                continue  # its copies no longer count
            self.acknowledged += 1
            if not any(self._is_at(other, each) for other in self._nodes):
                record = f"{appended.origin.hex()[:6]} {appended.next_sequence - 1}"
                raise Violation(f"I5 {node.name} counted a copy of {record} that is nowhere")
        self._waiting = waiting

    def _is_at(self, other: Node, copy: _Waiting) -> bool:
        """Return whether another disk than the origin's has the record; a node that is down must have reported it."""
        origin, following = copy.appended.origin, copy.appended.next_sequence
        if other.log is None:
            return other.told.get(origin, 0) >= following
        if other.log.origin == origin:
            return False
        batch = batch_with(other.log, origin, following - 1)
        if batch is None:
            state = other.log.origins().get(origin)
            return origin in self._truth.damaged or (state is not None and state.floor_sequence >= following)
        return batch.payload_crc == copy.payload_crc
