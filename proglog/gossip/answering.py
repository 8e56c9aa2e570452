"""This node's answers to queries: whether a query is for it, its answer, and the answer's detours.

Source: serf ``serf.go``, ``query.go``, ``internal_query.go``; what each internal query means is in
:mod:`proglog.gossip.queries`.
"""

from collections.abc import Callable, Mapping
from random import Random

from proglog.errors import InvalidRequestError, NotFoundError
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.events import QueryReceived
from proglog.gossip.keyring import Keyring
from proglog.gossip.member import Address, Status
from proglog.gossip.nodes import Nodes
from proglog.gossip.outbox import Outbox
from proglog.gossip.queries import answer_keys, passes
from proglog.gossip.roster import Roster
from proglog.gossip.serf_messages import KEY_OPERATIONS, MAX_DETOURS, Query, QueryResponse, Relay
from proglog.gossip.timers import Timers
from proglog.gossip.wire import SerfType, decode_tags, encode, printable

FLAG_ACK = 1
FLAG_NO_BROADCAST = 2
MAX_UNANSWERED = 256
"""Queries awaiting an answer from the application; beyond this, the oldest go unanswered."""
STATUS_NUMBERS = {Status.ALIVE: 1, Status.LEAVING: 2, Status.LEFT: 3, Status.FAILED: 4}


class Answering:
    """Answers queries."""

    def __init__(
        self,
        name: str,
        roster: Roster,
        keyring: Keyring | None,
        random: Random,
        nodes: Nodes,
        outbox: Outbox,
        timers: Timers,
        on_keys: Callable[[str], None],
        on_namesake: Callable[[Address], None],
        on_query: Callable[[QueryReceived], None],
        on_own: Callable[[QueryResponse], None],
    ) -> None:
        """Keep what answers need.

        Args:
            name: This node's.
            roster: Its members, for questions about names.
            keyring: Its keys, for questions about them.
            random: Chooses detours.
            nodes: The known nodes, for detours.
            outbox: Sends.
            timers: The clock of deadlines.
            on_keys: Called with each operation that changed the keyring.
            on_namesake: Called with the address of another node that asks for this node's name.
            on_query: Called with each query that is not one of Serf's own.
            on_own: Called with the answers to this node's own queries.
        """
        self._name = name
        self._roster = roster
        self._keyring = keyring
        self._random = random
        self._nodes = nodes
        self._outbox = outbox
        self._timers = timers
        self._on_keys = on_keys
        self._on_namesake = on_namesake
        self._on_query = on_query
        self._on_own = on_own
        self._unanswered: dict[int, tuple[Query, float]] = {}
        self._query_id = 0

    def answer(self, query: Query, tags: Mapping[str, str], source: Address | None) -> None:
        """Answer a query from ``source``, if it is for this node, which has ``tags``.

        Raises:
            MalformedMessageError: A filter is invalid, or the asker is no member. The one exception is a node that asks
                directly for a name it shares with another node.
        """
        if not passes(query.filters, self._name, tags):
            return
        namesake = query.internal == "conflict" and _name_in(query) == query.source
        if namesake and query.source == self._name and query.asker != self._nodes.own.address:
            self._on_namesake(query.asker)
            return
        if self._nodes.member_at(query.asker) is None and not (namesake and query.asker == source):
            raise MalformedMessageError("a query that wants its answer at an address without a member")
        if query.flags & FLAG_ACK:
            self._respond(query, FLAG_ACK, None)
        if not query.internal:
            self._offer(query)
            return
        answer = self._content(query)
        if answer is not None:
            self._respond(query, 0, answer)

    def respond(self, query_id: int, payload: bytes) -> None:
        """Answer a query that :class:`QueryReceived` announced, once.

        Raises:
            NotFoundError: It is over, or was answered.
            InvalidRequestError: The answer is too long.
        """
        query, deadline = self._unanswered.get(query_id, (None, 0.0))
        if query is None or self._timers.now > deadline:
            raise NotFoundError("this query is over, or was answered already")
        try:
            self._respond(query, 0, payload)
        except MalformedMessageError as exc:
            raise InvalidRequestError(str(exc)) from exc
        del self._unanswered[query_id]

    def _offer(self, query: Query) -> None:
        seconds = query.timeout / 1e9
        self._unanswered = {
            key: kept
            for key, kept in list(self._unanswered.items())[1 - MAX_UNANSWERED :]
            if kept[1] > self._timers.now
        }
        self._query_id += 1
        self._unanswered[self._query_id] = query, self._timers.now + seconds
        self._on_query(
            QueryReceived(
                query_id=self._query_id,
                name=printable(query.name),
                payload=query.payload,
                ltime=query.ltime,
                source=printable(query.source),
                seconds=seconds,
            )
        )

    def relay(self, body: bytes) -> None:
        """Relay a response to the member that it is for.

        Raises:
            MalformedMessageError: It is no response, or no member is at its destination.
        """
        relay = Relay.read(body)
        if self._nodes.member_at(relay.address) is None:
            raise MalformedMessageError("an answer to relay to an address without a member")
        self._outbox.send_user(relay.response.encode(), relay.address)

    def _respond(self, query: Query, flags: int, payload: bytes | None) -> None:
        """Answer the asker directly and, if the query asks for detours, through random members as well."""
        response = QueryResponse(query.ltime, query.number, self._name, flags, payload)
        data = response.encode()
        if query.asker == self._nodes.own.address:
            self._on_own(response)
            return
        self._outbox.send_user(data, query.asker)
        relays = self._nodes.others_alive()
        if not query.detours or len(relays) <= query.detours:
            return
        relayed = Relay(query.ip, query.port, query.source, response).encode()
        for node in self._random.sample(relays, min(query.detours, MAX_DETOURS)):
            self._outbox.send_user(relayed, node.address)

    def _content(self, query: Query) -> bytes | None:
        if query.internal == "conflict":
            return self._answer_conflict(_name_in(query))
        if query.internal not in KEY_OPERATIONS:
            return None
        answer, changed = answer_keys(self._keyring, query.internal, query.key)
        if changed:
            self._on_keys(query.internal)
        return answer

    def _answer_conflict(self, name: str) -> bytes | None:
        if name == self._name:
            return None
        member = self._roster.get(name)
        if member is None:
            return bytes((SerfType.CONFLICT_RESPONSE,)) + b"\xc0"
        keys = ("ProtocolMin", "ProtocolMax", "ProtocolCur", "DelegateMin", "DelegateMax", "DelegateCur")
        versions = dict(zip(keys, member.versions.ljust(6, b"\0"), strict=True))
        record = {
            "Name": name,
            "Addr": member.ip,
            "Port": member.port,
            "Tags": decode_tags(member.meta),
            "Status": STATUS_NUMBERS[member.status],
        }
        return encode(SerfType.CONFLICT_RESPONSE, record | versions)


def _name_in(query: Query) -> str:
    return query.payload.decode("utf-8", "surrogateescape")
