"""One node under test, fed with messages by hand."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from proglog.gossip.address_book import KnownAddress
from proglog.gossip.config import GossipConfig
from proglog.gossip.events import Event, Ignored, MemberEvent
from proglog.gossip.framing import StreamReader, push_pull, unpack
from proglog.gossip.keyring import Keyring
from proglog.gossip.member import VERSIONS
from proglog.gossip.member_rules import MemberRules
from proglog.gossip.serf import Serf
from proglog.gossip.wire import Fields, SerfType, Type, decode, encode, encode_map, encode_tags

ME, MY_ADDRESS = "me", ("10.0.0.1", 7946)
OTHER_IPS = {name: bytes((10, 0, 0, number)) for number, name in enumerate("abcdefgh", start=2)}


class Bench:
    """A node called ``me``; others are names from ``a`` to ``h`` that only speak when told to."""

    def __init__(
        self,
        keyring: Keyring | None = None,
        config: GossipConfig | None = None,
        *,
        known: bool = False,
        rules: MemberRules | None = None,
    ) -> None:
        self.now = 100.0
        self.keyring = keyring
        self.serf = Serf(
            name=ME,
            address=MY_ADDRESS,
            tags={"role": "test"},
            config=config or GossipConfig.lan(),
            keyring=keyring,
            random=Random(1),
            now=self.now,
            rules=rules or MemberRules(),
            known=[KnownAddress(host="10.0.0.77", port=7946, given=True)] if known else [],
        )
        self.serf.start(self.now)
        self.told: list[Event] = []
        self.take_sent()
        self.serf.streams_to_open()

    def datagram(self, data: bytes, source: tuple[str, int] = ("10.0.0.99", 7946)) -> None:
        self.serf.receive_datagram(data, source, self.now)

    def send(self, kind: int, **fields: Any) -> None:
        self.datagram(encode(kind, fields))

    def send_serf(self, kind: SerfType, **fields: Any) -> None:
        self.datagram(bytes((Type.USER,)) + encode(kind, fields))

    def alive(self, name: str, incarnation: int = 1, **changes: Any) -> None:
        fields = {
            "Incarnation": incarnation,
            "Node": name,
            "Addr": OTHER_IPS.get(name, bytes((10, 0, 0, 1))),
            "Port": 7946,
            "Meta": encode_tags({}),
            "Vsn": VERSIONS,
        }
        self.send(Type.ALIVE, **(fields | changes))

    def suspect(self, name: str, accuser: str, incarnation: int = 1) -> None:
        self.send(Type.SUSPECT, Incarnation=incarnation, Node=name, From=accuser)

    def dead(self, name: str, accuser: str, incarnation: int = 1) -> None:
        self.send(Type.DEAD, Incarnation=incarnation, Node=name, From=accuser)

    def exchange(self, *records: dict[str, Any], state: bytes = b"") -> bytes | None:
        message = push_pull(join=False, nodes=[encode_map(record) for record in records], state=state)
        request = StreamReader(None).feed(message)
        assert request is not None
        return self.serf.answer_stream(request, self.now)

    def leave(self) -> None:
        self.serf.leave(self.now)

    def force_leave(self, name: str, *, prune: bool) -> None:
        self.serf.force_leave(name, self.now, prune=prune)

    def set_tags(self, tags: dict[str, str]) -> None:
        self.serf.set_tags(tags, self.now)

    def run(self, seconds: float) -> None:
        """Let time pass; nobody answers."""
        end = self.now + seconds
        while (deadline := self.serf.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.serf.handle_timer(self.now)
        self.now = end

    def state(self, name: str) -> str:
        """What the failure detector thinks, such as ``suspect 3``; empty when unknown."""
        node = self.serf._swim.nodes.get(name)
        known = node is not None and self.serf._swim.nodes.is_in_ring(node)
        return f"{node.state.name.lower()} {node.incarnation}" if known else ""

    def status(self, name: str) -> str:
        return next((str(member.status) for member in self.serf.members() if member.name == name), "")

    def names(self) -> list[str]:
        return [member.name for member in self.serf.members()]

    def ltime(self, name: str) -> int:
        return next(member.status_ltime for member in self.serf.members() if member.name == name)

    def events(self) -> list[str]:
        """Membership events since the last call, such as ``member-join a``."""
        told = self.serf.events()
        self.told += told
        return [f"{event.kind} {event.member.name}" for event in told if isinstance(event, MemberEvent)]

    def ignored(self) -> list[str]:
        """Diagnostics since the last call."""
        return [event.reason for event in self.serf.events() if isinstance(event, Ignored)]

    def take_sent(self) -> list[tuple[int, Fields, tuple[str, int]]]:
        """Memberlist messages sent since the last call: type, fields, to whom. Serf's are left out."""
        return [
            (message[0], decode(message[1:]), address)
            for data, address in self.serf.datagrams_to_send()
            for message in unpack(data, self.keyring)
            if message[0] != Type.USER
        ]

    def take_sent_serf(self) -> list[tuple[int, Fields, tuple[str, int]]]:
        """Serf messages sent since the last call."""
        return [
            (message[1], decode(message[2:]), address)
            for data, address in self.serf.datagrams_to_send()
            for message in unpack(data, self.keyring)
            if message[0] == Type.USER
        ]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    return Bench
