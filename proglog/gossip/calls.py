"""Calls to where members may be: those that the address book schedules, and their outcomes.

A node announces itself with a join intent after the first answered call, and after each call to a node that lacked it.
"""

from collections.abc import Callable

from proglog.gossip.address_book import AddressBook, Call
from proglog.gossip.departure import Departure
from proglog.gossip.events import CallFinished, Event, JoinFinished, MemberEventKind
from proglog.gossip.member import Address, Node, State
from proglog.gossip.nodes import Nodes
from proglog.gossip.sync import Exchange


class Calls:
    """One node's."""

    def __init__(
        self,
        book: AddressBook,
        exchange: Exchange,
        nodes: Nodes,
        departure: Departure,
        tell: Callable[[Event], None],
        announce: Callable[[], None],
        answered: Callable[[], None],
    ) -> None:
        """Start without any call.

        Args:
            book: Schedules the calls.
            exchange: Makes them.
            nodes: The known nodes.
            departure: Ends all calls.
            tell: Called with the outcome of each call.
            announce: Called to announce this node.
            answered: Called after each answer.
        """
        self.announced = False
        """Whether any call was answered."""
        self.known_there = False
        """Whether the last one whose state was merged knew this node."""
        self._book = book
        self._exchange = exchange
        self._nodes = nodes
        self._departure = departure
        self._tell = tell
        self._announce = announce
        self._answered = answered
        self._count = 0

    def join(self, address: Address) -> int:
        """Call ``address`` now; return the number of the :class:`JoinFinished` that says how it went."""
        self._count += 1
        call_id = self._count

        def finished(error: str) -> None:
            self._ended(error)
            self._tell(JoinFinished(call_id=call_id, address=address, error=error))

        self._exchange.join(address, finished)
        return call_id

    def call_due(self) -> None:
        """Call every due address without a live member."""
        for call in [] if self._departure.begun else self._book.due():
            self._exchange.join(call.address, lambda error, call=call: self._called(call, error))  # type: ignore[misc]

    def note(self, kind: MemberEventKind, node: Node) -> None:
        """Record what became of a member: it may return to the address that it left."""
        match kind:
            case MemberEventKind.JOIN:
                self._book.alive(node)
            case MemberEventKind.FAILED:
                self._book.departed(node)
            case MemberEventKind.LEAVE if node.state is State.LEFT:
                self._book.departed(node)
            case MemberEventKind.LEAVE | MemberEventKind.REAP:
                self._book.forget(node.name)  # removed by `force-leave`, or gone for a day
            case _:
                return

    def _called(self, call: Call, error: str) -> None:
        self._ended(error)
        failures = self._book.failed(call.address) if error else 0
        if not error:
            self._book.answered(call.address)
        alone = not self._nodes.others_alive()
        self._tell(CallFinished(address=call.address, given=call.given, failures=failures, alone=alone, error=error))

    def _ended(self, error: str) -> None:
        if error or self._departure.begun:
            return
        if not (self.announced and self.known_there):
            self.announced = True
            self._announce()
        self._answered()
