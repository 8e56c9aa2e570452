"""Serf's commands through an agent: user events, queries, tags, keys, joining and leaving, round trips."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from proglog.api.v1 import membership_pb2 as pb
from proglog.client.channel import failures, understood
from proglog.client.link import Link, Wire
from proglog.client.unary import UnaryCalls
from proglog.wire.key_operations import operation_number

Answer = TypeVar("Answer")


KEYS_SECONDS = 20.0
"""Time for the members to answer about their keys: all are asked, and before a key is used, asked twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEventSeen:
    """A user event, as an agent received it."""

    name: str
    payload: bytes
    ltime: int
    """Its Lamport time: of two events, the later has the higher one."""
    at_ms: int
    """When the agent received it, milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class QueryReply:
    """One member's answer to a query."""

    node: str
    payload: bytes | None
    """``None``: an acknowledgement."""


@dataclass(frozen=True, slots=True)
class MemberKeys:
    """One member's answer to an operation on the gossip keys."""

    node: str
    error: str
    """Empty: done."""
    keys: tuple[bytes, ...] = ()
    """Of ``list``."""
    primary: bytes = b""
    """The one that it seals with."""


@dataclass(frozen=True, slots=True)
class KeysReport:
    """The members' answers to an operation on the gossip keys."""

    members: int
    """Alive, and asked."""
    answers: tuple[MemberKeys, ...]
    """Of those that answered, by name."""


class MembershipClient:
    """The calls; made by :class:`proglog.client.Client` as its ``membership``."""

    def __init__(self, link: Link, unary: UnaryCalls) -> None:
        """Call one agent: what is changed here is its own."""
        self._link = link
        self._unary = unary

    async def _answer(
        self, method: Callable[[Wire], Callable[..., Awaitable[Answer]]], request: object, more_time: float = 0.0
    ) -> Answer:
        return await self._unary.ask(method, request, more_time, links=[self._link])

    async def send_event(self, name: str, payload: bytes = b"", *, coalesce: bool = False) -> int:
        """Send a user event to every member; return its Lamport time.

        Args:
            name: With the payload at most 512 bytes.
            payload: Any bytes.
            coalesce: Deliver only the newest of several events of one name in quick succession.

        Raises:
            InvalidRequestError: It has no name, or is too long.
        """
        response = await self._answer(
            lambda wire: wire.membership.SendEvent, pb.SendEventRequest(name=name, payload=payload, coalesce=coalesce)
        )
        return int(response.ltime)

    async def events(self, *, follow: bool = False, only_new: bool = False) -> AsyncGenerator[UserEventSeen]:
        """Yield the user events that the agent still has, the oldest first; with ``follow``, then each as it comes."""
        request = pb.FollowEventsRequest(follow=follow, only_new=only_new)
        async with self._link.lease() as wire:
            call = wire.membership.FollowEvents(request)
            try:
                with failures(self._link.error_of):
                    async for each in call:
                        event = understood(each, self._link.addr)
                        yield UserEventSeen(
                            name=event.name, payload=event.payload, ltime=event.ltime, at_ms=event.at_ms
                        )
            finally:
                call.cancel()

    async def query(
        self,
        name: str,
        payload: bytes = b"",
        *,
        nodes: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        ack: bool = False,
        relay_factor: int = 0,
        seconds: float | None = None,
    ) -> AsyncGenerator[QueryReply]:
        """Ask the members something; yield what they answer, until the query's timeout.

        Args:
            name: Of the query.
            payload: Any bytes; all of it at most 1,024.
            nodes: Names of those that are asked; empty: all.
            tags: Expressions of RE2 that their tags match.
            ack: Each of them is to acknowledge it.
            relay_factor: Others that each answer is also sent through.
            seconds: How long it takes; left out: what a cluster of this size needs, some 3.

        Raises:
            InvalidRequestError: It makes no sense, or is too long.
        """
        request = pb.QueryRequest(
            name=name,
            payload=payload,
            nodes=nodes,
            tags=tags or {},
            ack=ack,
            relay_factor=relay_factor,
            timeout_ms=None if seconds is None else round(seconds * 1000),
        )
        async with self._link.lease() as wire:
            call = wire.membership.Query(request)
            try:
                with failures(self._link.error_of):
                    async for each in call:
                        reply = understood(each, self._link.addr)
                        yield QueryReply(reply.node, None if reply.ack else reply.payload)
            finally:
                call.cancel()

    async def set_tags(self, tags: Mapping[str, str], *, delete: Sequence[str] = ()) -> dict[str, str]:
        """Change the agent's tags until its next start; return all of them.

        Raises:
            InvalidRequestError: One is the agent's own affair.
            ConfigError: They need more than 512 bytes.
        """
        response = await self._answer(lambda wire: wire.membership.SetTags, pb.SetTagsRequest(set=tags, delete=delete))
        return dict(response.tags)

    async def join(self, addrs: Sequence[str]) -> dict[str, str]:
        """Join the agent to these addresses; return each one's error, empty on success."""
        response = await self._answer(lambda wire: wire.membership.Join, pb.JoinRequest(addrs=addrs))
        return {each.addr: each.error for each in response.outcomes}

    async def leave(self) -> None:
        """Have the agent leave the cluster and stop."""
        await self._answer(lambda wire: wire.membership.Leave, pb.LeaveRequest())

    async def keys(self, operation: str, key: bytes = b"") -> KeysReport:
        """Have all members ``list`` their gossip keys, or ``install``, ``use`` or ``remove`` one.

        Takes up to ``KEYS_SECONDS`` beyond the client's timeout, if a member doesn't answer.

        Raises:
            InvalidRequestError: There is no such operation, or no such key.
            PreconditionError: Gossip is not encrypted.
        """
        request = pb.KeysRequest(operation=operation_number(operation), key=key)
        response = await self._answer(lambda wire: wire.membership.Keys, request, more_time=KEYS_SECONDS)
        answers = tuple(MemberKeys(each.node, each.error, tuple(each.keys), each.primary) for each in response.outcomes)
        return KeysReport(response.members, answers)

    async def round_trip(self, a: str, b: str | None = None) -> float:
        """Return the estimated round trip between two members, in seconds; ``b`` left out: the agent itself.

        Raises:
            NotFoundError: One is no member.
            UnavailableError: The agent does not know where one is, yet.
        """
        response = await self._answer(lambda wire: wire.membership.RoundTrip, pb.RoundTripRequest(a=a, b=b))
        return float(response.seconds)
