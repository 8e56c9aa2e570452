"""Any message in any state: nothing raises, nothing grows without bound, nothing changes without the key."""

import os
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proglog.gossip.config import GossipConfig
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.framing import StreamReader, pack, push_pull, unpack
from proglog.gossip.keyring import Keyring
from proglog.gossip.member import VERSIONS, State, Status
from proglog.gossip.serf import Serf
from proglog.gossip.wire import SerfType, Type, encode, encode_map

LONG = "PROGLOG_LONG" in os.environ
FUZZED = 12_500_000 if LONG else 125_000
KEY = bytes(range(32))
NAMES = ("me", "a", "b", "c", "d\udcff", "")
QUERIES = ["x", "_serf_", "_serf_ping", "_serf_conflict"] + [
    f"_serf_{operation}" for operation in ("install-key", "use-key", "remove-key", "list-keys")
]
SOURCE = ("10.0.0.99", 7946)

names = st.sampled_from(NAMES)
numbers = st.one_of(st.integers(0, 5), st.sampled_from([2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]))
incarnations = st.one_of(st.integers(0, 5), st.just(2**32 - 1))
ips = st.sampled_from([b"\x0a\0\0\x01", b"\x0a\0\0\x02", b"\x0a\0\0\x03", bytes(16), b"", b"xyz"])
ports = st.sampled_from([0, 7946, 65535])
metas = st.sampled_from([b"", b"web", b"\xff\x81\xa1k\xa1v", b"\xff\xc1", b"x" * 513])
versions = st.sampled_from([VERSIONS, b"", bytes(6), bytes((1, 5, 2, 2, 5, 1)), bytes((9, 1, 2))])
payloads = st.one_of(st.none(), st.binary(max_size=20))


def fields(kind: int, **strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return st.fixed_dictionaries({}, optional=strategies).map(lambda drawn: encode(kind, drawn))


accusations = {"Incarnation": incarnations, "Node": names, "From": names}
source = {"SourceAddr": ips, "SourcePort": ports, "SourceNode": names}
swim_messages = st.one_of(
    fields(Type.PING, SeqNo=incarnations, Node=names, **source),
    fields(Type.INDIRECT_PING, SeqNo=incarnations, Node=names, Target=ips, Port=ports, Nack=st.booleans(), **source),
    fields(Type.ACK, SeqNo=incarnations, Payload=payloads),
    fields(Type.NACK, SeqNo=incarnations),
    fields(Type.SUSPECT, **accusations),
    fields(Type.DEAD, **accusations),
    fields(Type.ALIVE, Incarnation=incarnations, Node=names, Addr=ips, Port=ports, Meta=metas, Vsn=versions),
)
key_request = st.binary(max_size=33).map(lambda key: b"\x07" + encode_map({"Key": key}))
filters = st.one_of(st.none(), st.lists(st.one_of(payloads, st.just(b"\x00\x91\xa2me")), max_size=3))
serf_messages = st.one_of(
    fields(SerfType.LEAVE, LTime=numbers, Node=names, Prune=st.booleans()),
    fields(SerfType.JOIN, LTime=numbers, Node=names),
    fields(SerfType.USER_EVENT, LTime=numbers, Name=names, Payload=payloads, CC=st.booleans()),
    fields(
        SerfType.QUERY,
        LTime=numbers,
        ID=incarnations,
        Addr=ips,
        Port=ports,
        SourceNode=names,
        Filters=filters,
        Flags=st.integers(0, 3),
        RelayFactor=st.integers(0, 5),
        Timeout=numbers,
        Name=st.sampled_from(QUERIES),
        Payload=st.one_of(payloads, key_request, names.map(lambda name: name.encode("utf-8", "surrogateescape"))),
    ),
    fields(SerfType.QUERY_RESPONSE, LTime=numbers, ID=incarnations, From=names, Flags=numbers, Payload=payloads),
    fields(
        SerfType.RELAY, DestAddr=st.fixed_dictionaries({}, optional={"IP": ips, "Port": ports}), DestName=names
    ).flatmap(lambda head: payloads.map(lambda inner: head + (inner or b""))),
    st.binary(max_size=10),
).map(lambda message: bytes((Type.USER,)) + message)
states = st.one_of(
    st.just(b""),
    st.binary(max_size=20),
    fields(
        SerfType.PUSH_PULL,
        LTime=numbers,
        StatusLTimes=st.dictionaries(names, numbers, max_size=4),
        LeftMembers=st.one_of(st.none(), st.lists(names, max_size=4)),
        EventLTime=numbers,
        Events=st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(-(1 << 63), (1 << 64) - 1)), max_size=3)),
        QueryLTime=numbers,
    ),
)
records = st.fixed_dictionaries(
    {},
    optional={
        "Name": names,
        "Addr": ips,
        "Port": ports,
        "Meta": metas,
        "Incarnation": incarnations,
        "State": st.integers(0, 5),
        "Vsn": versions,
    },
)
exchanges = st.builds(
    lambda join, nodes, state: (
        "stream",
        push_pull(join=join, nodes=[encode_map(each) for each in nodes], state=state),
    ),
    st.booleans(),
    st.lists(records, max_size=4),
    states,
)
steps = st.one_of(
    st.one_of(swim_messages, serf_messages).map(lambda message: ("datagram", message)),
    exchanges,
    st.floats(0, 40).map(lambda seconds: ("time", seconds)),
    st.sampled_from([("leave", None), ("tags", None)]),
)


def node(keyring: Keyring | None = None, config: GossipConfig | None = None) -> Serf:
    serf = Serf(
        name="me",
        address=("10.0.0.1", 7946),
        tags={},
        config=config or GossipConfig.lan(),
        keyring=keyring,
        random=Random(1),
        now=0.0,
    )
    serf.start(0.0)
    return serf


def stream(serf: Serf, data: bytes, keyring: Keyring | None, now: float) -> None:
    """Take a stream in as the driver does."""
    try:
        message = StreamReader(keyring).feed(data)
        if message is not None:
            serf.answer_stream(message, now)
    except MalformedMessageError as exc:
        serf.refuse_stream(str(exc), None, now)


def apply(serf: Serf, keyring: Keyring | None, step: tuple[str, Any], now: float) -> float:
    match step:
        case ("datagram", message):
            serf.receive_datagram(pack([message], crc=False, keyring=keyring, nonce=bytes(12)), SOURCE, now)
        case ("stream", data) if keyring is None:
            stream(serf, data, keyring, now)
        case ("time", seconds):
            end = now + seconds
            while (deadline := serf.next_deadline()) is not None and deadline <= end:
                now = max(now, deadline)
                serf.handle_timer(now)
            return end
        case ("leave", _):
            serf.leave(now)
        case ("tags", _):
            serf.set_tags({"at": str(int(now))}, now)
    return now


@settings(max_examples=20_000 if LONG else 300, deadline=None)
@given(st.lists(steps, max_size=30), st.booleans())
def test_whatever_is_said_to_a_node_it_stays_sound(said: list[tuple[str, Any]], encrypted: bool) -> None:
    keyring = Keyring((KEY,)) if encrypted else None
    serf, now = node(keyring), 0.0
    for step in said:
        now = apply(serf, keyring, step, now)
        to_strangers = 0
        for data, address in serf.datagrams_to_send():
            assert all(unpack(data, keyring))
            to_strangers += len(data) if serf._swim.nodes.member_at(address) is None else 0
        if step[0] == "datagram" and keyring is None:
            assert to_strangers <= len(step[1]), "a stranger can have others sent more than it sends"
        for call in serf.streams_to_open():
            serf.stream_failed(call.id, "nobody answers", now)
        serf.events()

    members = serf.members()
    assert all(member.status in Status for member in members)
    assert [member.name for member in members].count("me") == 1
    nodes = serf._swim.nodes
    assert all(known.state in State and len(known.meta) <= 512 for known in nodes)
    assert nodes.own.state is (State.LEFT if nodes.own.gone else State.ALIVE)
    assert nodes.own.address == ("10.0.0.1", 7946)
    assert nodes.own.versions == VERSIONS
    suspected = [known.name for known in nodes if known.state is State.SUSPECT]
    assert sorted(serf._swim.beliefs._suspects) == sorted(suspected)
    assert StreamReader(keyring).feed(serf._swim.outbox.framed(serf._swim.exchange.local_state(join=False))) is not None


def fingerprint(serf: Serf) -> str:
    return f"{serf.members()} {serf._clock.time} {serf._event_clock.time} {serf._query_clock.time} {list(serf._swim.nodes)}"


def corpus() -> list[bytes]:
    alive = {"Incarnation": 1, "Node": "a", "Addr": b"\x0a\0\0\x02", "Port": 7946, "Meta": b"", "Vsn": VERSIONS}
    messages = [
        encode(Type.ALIVE, alive),
        encode(Type.SUSPECT, {"Incarnation": 1, "Node": "me", "From": "a"}),
        encode(Type.PING, {"SeqNo": 1, "Node": "me"}),
        b"\x08" + encode(SerfType.LEAVE, {"LTime": 9, "Node": "a", "Prune": True}),
        b"\x08" + encode(SerfType.USER_EVENT, {"LTime": 9, "Name": "e", "Payload": b"p", "CC": False}),
        b"\x08" + encode(SerfType.QUERY, {"LTime": 9, "ID": 7, "Addr": bytes(4), "Port": 9, "Name": "q", "Flags": 1}),
        encode(Type.COMPRESS, {"Algo": 0, "Buf": bytes.fromhex("000181aa0102")}),
    ]
    return [*messages, pack(messages[:5], crc=True, keyring=None, nonce=b"")]


def mutated(chance: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(4):
            case 0:
                changed[at : at + 1] = chance.randbytes(1)
            case 1:
                del changed[at : at + chance.randrange(1, 5)]
            case 2:
                changed[at:at] = chance.randbytes(chance.randrange(1, 5))
            case _:
                changed[at:at] = changed[: chance.randrange(1, 20)]
    return bytes(changed)


def test_mutated_datagrams_neither_raise_nor_grow_the_node() -> None:
    chance, originals = Random(7), corpus()
    serf, now = node(config=GossipConfig(max_nodes=50)), 0.0
    for number in range(FUZZED // 2):
        serf.receive_datagram(mutated(chance, chance.choice(originals)), SOURCE, now)
        if number % 100 == 0:
            now += 1.0
            serf.handle_timer(now)
            serf.streams_to_open()
        serf.datagrams_to_send()
        serf.events()
    assert len(serf.members()) <= 50
    assert len(serf._roster._intents) <= 4096
    assert len(serf._swim._helper._forwarded) <= 256
    assert len(serf._swim.timers._heap) < 5000


def test_mutated_streams_do_not_raise() -> None:
    chance = Random(8)
    state = encode(SerfType.PUSH_PULL, {"LTime": 3, "StatusLTimes": {"a": 2}, "LeftMembers": ["a"], "Events": None})
    alive = {"Name": "a", "Addr": bytes(4), "Port": 1, "Meta": b"", "Incarnation": 1, "State": 0, "Vsn": VERSIONS}
    original = push_pull(join=True, nodes=[encode_map(alive)], state=state)
    serf = node(config=GossipConfig(max_nodes=50))
    for number in range(FUZZED // 10):
        stream(serf, mutated(chance, original), None, number / 100)
        serf.datagrams_to_send()
        serf.events()
    assert len(serf.members()) <= 50


def test_without_the_key_nothing_that_is_said_changes_anything() -> None:
    chance, originals = Random(9), corpus()
    keyring = Keyring((KEY,))
    serf = node(keyring)
    serf.events()
    before = fingerprint(serf)
    sealed = [pack([message], crc=False, keyring=keyring, nonce=bytes(12)) for message in originals]
    stranger = Keyring((bytes(32),))
    for number in range(FUZZED // 5):
        message = chance.choice(originals)
        match number % 4:
            case 0:
                data = message
            case 1:
                data = pack([message], crc=False, keyring=stranger, nonce=bytes(12))
            case 2:
                data = mutated(chance, chance.choice(sealed))
                if data in sealed:
                    continue
            case _:
                data = chance.randbytes(chance.randrange(200))
        if number % 2:
            serf.receive_datagram(data, SOURCE, 0.0)
        else:
            stream(serf, data, keyring, 0.0)
        assert serf.datagrams_to_send() == []
        assert {type(event).__name__ for event in serf.events()} <= {"Ignored"}
    assert fingerprint(serf) == before
