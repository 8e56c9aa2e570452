"""What the membership service needs of the agent: Serf's commands, as an operator gives them."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from proglog.gossip.asking import GossipQuery, QueryAnswer
from proglog.gossip.queries import KeyAnswer
from proglog.server.event_feed import FedEvent


@dataclass(frozen=True, slots=True)
class KeyReport:
    """What the members said about their keys."""

    members: int
    """Alive, and asked."""
    answers: Mapping[str, KeyAnswer]
    """Of those that answered, by name."""


class MembershipCalls(Protocol):
    """The commands. Errors are those of ``agent/serf_calls``."""

    def send_event(self, name: str, payload: bytes, *, coalesce: bool) -> int:
        """Tell every member something; return its Lamport time."""
        ...

    def follow_events(self, *, follow: bool, only_new: bool) -> AsyncIterator[FedEvent]:
        """Return the user events that the agent was told of."""
        ...

    def query(self, query: GossipQuery) -> AsyncGenerator[QueryAnswer]:
        """Ask the members something; yield what they answer, until the timeout."""
        ...

    def set_tags(self, changed: Mapping[str, str], deleted: Sequence[str]) -> Mapping[str, str]:
        """Change the agent's tags; return all of them."""
        ...

    async def join(self, addrs: Sequence[str]) -> Mapping[str, str]:
        """Call these addresses; return what went wrong with each, empty where nothing did."""
        ...

    def leave(self) -> None:
        """Leave the cluster, and end the agent."""
        ...

    async def keys(self, operation: str, key: bytes) -> KeyReport:
        """List or change the gossip keys of all members."""
        ...

    def round_trip(self, a: str, b: str) -> float:
        """Return the estimated round trip between two members, in seconds."""
        ...
