"""Serf's commands, as an operator gives them to an agent: events, queries, tags, keys, joining, round trips."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress

from proglog.addr import RPC_ADDR_TAG, split_addr
from proglog.agent.config import DEFAULT_GOSSIP_PORT
from proglog.agent.membership import Membership
from proglog.errors import InvalidRequestError, NotFoundError, PreconditionError, UnavailableError
from proglog.gossip.asking import GossipQuery, QueryAnswer
from proglog.gossip.coordinates import Coordinate
from proglog.gossip.events import Event, JoinFinished
from proglog.gossip.keyring import KEY_BYTES
from proglog.gossip.member import Member, Status
from proglog.gossip.queries import KeyAnswer, key_request
from proglog.gossip.wire import printable
from proglog.server.event_feed import EventFeed, FedEvent
from proglog.server.membership_calls import KeyReport

MAX_JOINED_AT_ONCE = 64
KEY_SECONDS = 5.0
"""How long members have to answer about their keys, at least."""
MAX_NAMED = 5
PING_QUERY = "_serf_ping"
_INTERNAL = "_serf_"


class SerfCalls:
    """What an agent does for an operator, beside what it does by itself."""

    def __init__(self, membership: Membership, feed: EventFeed, stop: Callable[[], None]) -> None:
        """Act through ``membership``; ``feed`` has its user events, ``stop`` ends the agent in order."""
        self._membership = membership
        self._feed = feed
        self._stop = stop

    def send_event(self, name: str, payload: bytes, *, coalesce: bool) -> int:
        """Tell every member something; return its Lamport time.

        Raises:
            InvalidRequestError: It has no name, or is too long.
        """
        return self._membership.act(lambda serf, now: serf.send_event(name, payload, now, coalesce=coalesce))

    def follow_events(self, *, follow: bool, only_new: bool) -> AsyncIterator[FedEvent]:
        """Return the user events; see :meth:`proglog.server.event_feed.EventFeed.follow`."""
        return self._feed.follow(wait=follow, only_new=only_new)

    async def query(self, query: GossipQuery) -> AsyncGenerator[QueryAnswer]:
        """Ask the members something; yield what they answer, until the timeout.

        Raises:
            InvalidRequestError: It makes no sense, or has a name of Serf's own.
            OverloadedError: Too many are under way.
        """
        if query.name.startswith(_INTERNAL) and (query.name != PING_QUERY or query.payload):
            raise InvalidRequestError(f"a query's name does not begin with {_INTERNAL}: those are reserved by Serf")
        async with aclosing(self._asked(query)) as answers:
            async for answer in answers:
                yield answer

    def set_tags(self, changed: Mapping[str, str], deleted: Sequence[str]) -> Mapping[str, str]:
        """Change this agent's tags; return all of them.

        Raises:
            InvalidRequestError: One is the agent's own affair.
            ConfigError: They need more than 512 bytes.
        """
        if RPC_ADDR_TAG in (*changed, *deleted):
            raise InvalidRequestError(f"the tag {RPC_ADDR_TAG} holds this agent's RPC address: only serve sets it")
        if "" in changed:
            raise InvalidRequestError("a tag needs a name")
        kept = {name: value for name, value in self._membership.tags().items() if name not in deleted}
        self._membership.set_tags(kept | dict(changed))
        return self._membership.tags()

    async def join(self, addrs: Sequence[str]) -> dict[str, str]:
        """Call these addresses; return what went wrong with each, empty where nothing did.

        Raises:
            InvalidRequestError: None, or too many.
            ConfigError: One is no address.
        """
        if not 1 <= len(addrs) <= MAX_JOINED_AT_ONCE:
            raise InvalidRequestError(f"expected 1 to {MAX_JOINED_AT_ONCE} addresses to join, not {len(addrs)}")
        targets = {addr: split_addr(addr, "address to join", default_port=DEFAULT_GOSSIP_PORT) for addr in addrs}
        waiting: dict[int, str] = {}
        outcomes: dict[str, str] = {}
        finished = asyncio.Event()

        def heard(event: Event) -> None:
            if isinstance(event, JoinFinished) and event.call_id in waiting:
                outcomes[waiting[event.call_id]] = event.error
                if len(outcomes) == len(targets):
                    finished.set()

        with self._membership.listening(heard):
            for addr, target in targets.items():
                call_id = self._membership.act(lambda serf, now, target=target: serf.join(target, now))  # type: ignore[misc]
                waiting[call_id] = addr
            await finished.wait()
        return outcomes

    def leave(self) -> None:
        """Leave the cluster, and end this agent, soon after this returned."""
        self._stop()

    def respond(self, query_id: int, payload: bytes) -> None:
        """Answer a query.

        Raises:
            NotFoundError: It is over, or was answered.
            InvalidRequestError: The answer is too long.
        """
        self._membership.act(lambda serf, now: serf.respond(query_id, payload, now))

    async def keys(self, operation: str, key: bytes) -> KeyReport:
        """Have every member ``list`` its keys, or ``install``, ``use`` or ``remove`` one.

        A key is used only where every member that is alive has it: others would not be able to open what is said.

        Raises:
            InvalidRequestError: There is no such operation, or no such key.
            PreconditionError: Gossip is not encrypted, or a member lacks the key to be used.
        """
        request = key_request(operation, key)
        if operation != "list" and len(key) not in KEY_BYTES:
            raise InvalidRequestError(f"a gossip key has 16, 24 or 32 bytes; this one has {len(key)}")
        if not self._membership.encrypted:
            raise PreconditionError("gossip is not encrypted: give every agent a key with --encrypt-file first")
        if operation == "use":
            held = await self.keys("list", b"")
            having = {name for name, answer in held.answers.items() if key in answer.keys}
            without = sorted({each.name for each in self._membership.members() if each.status is Status.ALIVE} - having)
            if without:
                raise PreconditionError(
                    f"{len(without)} of {held.members} members do not have this key, or did not say so:"
                    f" {', '.join(without[:MAX_NAMED])}; install it first"
                )
        alive = {each.name for each in self._membership.members() if each.status is Status.ALIVE}
        answers: dict[str, KeyAnswer] = {}
        timeout = max(KEY_SECONDS, self._membership.act(lambda serf, _now: serf.query_timeout()))
        asked = self._asked(GossipQuery(name=request.name, payload=request.payload, timeout=timeout))
        async with aclosing(asked):
            async for answer in asked:
                if answer.payload is not None:
                    answers[printable(answer.source)] = KeyAnswer.read(answer.payload)
                if alive <= answers.keys():
                    break
        return KeyReport(len(alive), answers)

    def round_trip(self, a: str, b: str | None) -> float:
        """Return the round trip between two members, in seconds; without ``b``: between ``a`` and this agent.

        Raises:
            NotFoundError: One is no member.
            UnavailableError: The coordinate of one is not known here yet.
        """
        members = {each.name: each for each in self._membership.members()}
        places = [_place(members, name) for name in (a, self._membership.config.node_name if b is None else b)]
        return places[0].distance(places[1])

    async def _asked(self, query: GossipQuery) -> AsyncGenerator[QueryAnswer]:
        answers: asyncio.Queue[QueryAnswer | None] = asyncio.Queue()
        end = self._membership.act(
            lambda serf, now: serf.ask(query, now, answers.put_nowait, lambda: answers.put_nowait(None))
        )
        try:
            while (answer := await answers.get()) is not None:
                yield answer
        finally:
            with suppress(UnavailableError):
                self._membership.act(lambda _serf, _now: end())


def _place(members: Mapping[str, Member], name: str) -> Coordinate:
    member = members.get(name)
    if member is None:
        raise NotFoundError(f"there is no member {name!r}: `members` lists those that are known")
    if member.coordinate is None:
        raise UnavailableError(
            f"the coordinate of {name!r} is not known here: it comes with its first answer to a probe"
        )
    return member.coordinate
