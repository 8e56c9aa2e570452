"""The interface that the membership service needs of the agent: Serf's commands, as an operator gives them."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from proglog.gossip.asking import GossipQuery, QueryAnswer
from proglog.gossip.queries import KeyAnswer
from proglog.server.event_feed import FedEvent


@dataclass(frozen=True, slots=True)
class KeyReport:
    """The members' answers about their keys."""

    members: int
    """Number of live members that were asked."""
    answers: Mapping[str, KeyAnswer]
    """Answers received, by member name."""


class MembershipCalls(Protocol):
    """The commands. Errors are those of ``agent/serf_calls``."""

    def send_event(self, name: str, payload: bytes, *, coalesce: bool) -> int:
        """Broadcast a user event; return its Lamport time."""
        ...

    def follow_events(self, *, follow: bool, only_new: bool) -> AsyncIterator[FedEvent]:
        """Return the user events that the agent received."""
        ...

    def query(self, query: GossipQuery) -> AsyncGenerator[QueryAnswer]:
        """Query the members; yield their answers until the timeout."""
        ...

    def set_tags(self, changed: Mapping[str, str], deleted: Sequence[str]) -> Mapping[str, str]:
        """Change the agent's tags; return all of them."""
        ...

    async def join(self, addrs: Sequence[str]) -> Mapping[str, str]:
        """Join through these addresses; return the error of each, empty on success."""
        ...

    def leave(self) -> None:
        """Leave the cluster and stop the agent."""
        ...

    async def keys(self, operation: str, key: bytes) -> KeyReport:
        """List or change the gossip keys of all members."""
        ...

    def round_trip(self, a: str, b: str | None) -> float:
        """Return the estimated round trip between two members, in seconds; without ``b``: between ``a`` and the agent."""
        ...
