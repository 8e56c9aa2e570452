"""This node's answers to queries: whether one is for it, what it says, and the detours that the answer takes.

Source: serf ``serf.go``, ``query.go``, ``internal_query.go``; what each internal query means is in
:mod:`proglog.gossip.queries`.
"""

from collections.abc import Callable, Mapping
from random import Random

from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.keyring import Keyring
from proglog.gossip.member import Status, address_of
from proglog.gossip.nodes import Nodes
from proglog.gossip.outbox import Outbox
from proglog.gossip.queries import KEY_OPERATIONS, MAX_RESPONSE_BYTES, answer_keys, passes
from proglog.gossip.roster import Roster
from proglog.gossip.wire import Fields, SerfType, decode_tags, encode, split_map

MAX_EVENT_BYTES = 9 * 1024
"""Name or payload of a query or a user event."""
FLAG_ACK = 1
FLAG_NO_BROADCAST = 2
_STATUS_NUMBERS = {Status.ALIVE: 1, Status.LEAVING: 2, Status.LEFT: 3, Status.FAILED: 4}


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
        on_keys: Callable[[str], None],
    ) -> None:
        """Keep what answers need.

        Args:
            name: This node's.
            roster: Its members, for questions about names.
            keyring: Its keys, for questions about them.
            random: Chooses detours.
            nodes: Who is there, for detours.
            outbox: Sends.
            on_keys: Told the operation that changed the keyring.
        """
        self._name = name
        self._roster = roster
        self._keyring = keyring
        self._random = random
        self._nodes = nodes
        self._outbox = outbox
        self._on_keys = on_keys

    def answer(self, query: Fields, tags: Mapping[str, str]) -> None:
        """Answer a query, if it is for this node, which has ``tags``.

        Raises:
            MalformedMessageError: It makes no sense.
        """
        if not passes(query.each("Filters"), self._name, tags):
            return
        if query.uint("Flags") & FLAG_ACK:
            self._respond(query, FLAG_ACK, None)
        answer = self._content(query.text("Name", MAX_EVENT_BYTES), query.raw("Payload", MAX_EVENT_BYTES))
        if answer is not None:
            self._respond(query, 0, answer)

    def relay(self, body: bytes) -> None:
        """Pass on somebody's response, to whom it names.

        Raises:
            MalformedMessageError: It is none.
        """
        head, response = split_map(body)
        if response[:1] != bytes((SerfType.QUERY_RESPONSE,)) or len(response) > MAX_RESPONSE_BYTES:
            raise MalformedMessageError("only a query's response is relayed")
        to = Fields(head.map("DestAddr"))
        self._outbox.send_user(response, address_of(to.raw("IP", 16), to.uint("Port", 16)))

    def _respond(self, query: Fields, flags: int, payload: bytes | None) -> None:
        """Answer straight to the asker and, if the query wants detours, through random others too."""
        ip, port = query.raw("Addr", 16), query.uint("Port", 16)
        ltime, number = query.ltime("LTime"), query.uint("ID")
        fields = {"LTime": ltime, "ID": number, "From": self._name, "Flags": flags, "Payload": payload}
        response = encode(SerfType.QUERY_RESPONSE, fields)
        if len(response) > MAX_RESPONSE_BYTES:
            raise MalformedMessageError(f"the answer has {len(response)} bytes; the limit is {MAX_RESPONSE_BYTES}")
        self._outbox.send_user(response, address_of(ip, port))
        detours, relays = query.uint("RelayFactor", 8), self._nodes.others_alive()
        if not detours or len(relays) <= detours:
            return
        destination = {"DestAddr": {"IP": ip, "Port": port, "Zone": ""}, "DestName": query.text("SourceNode")}
        relayed = encode(SerfType.RELAY, destination) + response
        for node in self._random.sample(relays, detours):
            self._outbox.send_user(relayed, node.address)

    def _content(self, name: str, payload: bytes) -> bytes | None:
        if name == "_serf_conflict":
            return self._answer_conflict(payload.decode("utf-8", "surrogateescape"))
        operation = name.removeprefix("_serf_")
        if operation == name or operation not in KEY_OPERATIONS:
            return None
        answer, changed = answer_keys(self._keyring, operation, payload)
        if changed:
            self._on_keys(operation)
        return answer

    def _answer_conflict(self, name: str) -> bytes | None:
        if name == self._name:
            return None
        member = self._roster.get(name)
        if member is None:
            return bytes((SerfType.CONFLICT_RESPONSE,)) + b"\xc0"
        keys = ("ProtocolMin", "ProtocolMax", "ProtocolCur", "DelegateMin", "DelegateMax", "DelegateCur")
        versions = dict(zip(keys, member.node.versions.ljust(6, b"\0"), strict=True))
        record = {
            "Name": name,
            "Addr": member.node.ip,
            "Port": member.node.port,
            "Tags": decode_tags(member.node.meta),
            "Status": _STATUS_NUMBERS[member.status],
        }
        return encode(SerfType.CONFLICT_RESPONSE, record | versions)
