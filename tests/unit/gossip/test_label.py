"""Labels on the wire: what memberlist 0.7.0 sends with label ``blue`` is read, and what has another label is refused."""

import pytest

from proglog.errors import ConfigError
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.framing import StreamReader, frame, pack, unpack
from proglog.gossip.keyring import Keyring
from proglog.gossip.label import MAX_LABEL_BYTES, labelled, overhead, parse_label, unlabelled
from proglog.gossip.member import Address
from proglog.gossip.wire import Type, decode, encode
from proglog.testing.network import VirtualNetwork, VirtualNode

BLUE, RED = b"blue", b"red"
KEYRING = Keyring((bytes(range(32)),))
PING = encode(Type.PING, {"SeqNo": 1, "Node": "a"})
NONCE = bytes(12)

PLAIN_PING = bytes.fromhex(
    "f404626c75650085a44e6f6465a27031a55365714e6f02aa536f7572636541646472a47f000001aa536f757263654e6f6465a26731aa53"
    "6f75726365506f7274cd2800"
)
SEALED_ACK = bytes.fromhex(
    "f404626c756501a9a6c70196adfd6d309d9dd2c003cff5d31ad875a258129ce1a311842107dbd088213ab15a2c0daf4a22eeb4b59b"
)
SEALED_RED_JOIN = bytes.fromhex(
    "f4037265640a0000007a0197a5570a1cebe1b681395d390dec0d142925eb8083501139a10c1996139f99c5b6f44166f83c3f6e3ba2d9ad"
    "2c3e23c3378b2df19cae015e33339d04ad9c180b4bcb0e662b325a566cad7077e90dfe5041ef3f97e72d37075e07f293d5acbe95f722ce"
    "84d1406d98af8b4831da8a9fc9eafaa0a4e40a24174c"
)


def test_a_labelled_ping_of_memberlist_is_read() -> None:
    (ping,) = unpack(PLAIN_PING, None, label=BLUE)

    assert ping[0] == Type.PING
    assert decode(ping[1:]).text("SourceNode") == "g1"


def test_a_sealed_and_labelled_ack_of_memberlist_is_read() -> None:
    (ack,) = unpack(SEALED_ACK, KEYRING, label=BLUE)

    assert ack[0] == Type.ACK


def test_a_sealed_and_labelled_join_of_memberlist_is_read_in_pieces_of_any_size() -> None:
    for size in (1, 3, 100, len(SEALED_RED_JOIN)):
        stream = StreamReader(KEYRING, RED)
        pieces = [SEALED_RED_JOIN[at : at + size] for at in range(0, len(SEALED_RED_JOIN), size)]
        *early, last = [stream.feed(piece) for piece in pieces]
        assert last is not None
        assert last.kind == Type.PUSH_PULL
        assert [node.text("Name") for node in last.nodes] == ["g1"]
        assert early == [None] * len(early)


@pytest.mark.parametrize("keyring", [None, KEYRING])
@pytest.mark.parametrize("label", [b"", BLUE, b"x" * MAX_LABEL_BYTES])
def test_labelled_packets_and_streams_come_back(keyring: Keyring | None, label: bytes) -> None:
    packet = pack([PING, PING], crc=True, keyring=keyring, nonce=NONCE, label=label)
    assert unpack(packet, keyring, label=label) == [PING, PING]

    framed = frame(PING, keyring, NONCE, label)
    request, reply = StreamReader(keyring, label), StreamReader(keyring, label, is_reply=True)
    for message in (request.feed(labelled(framed, label)), reply.feed(framed)):
        assert message is not None
        assert message.kind == Type.PING


@pytest.mark.parametrize("keyring", [None, KEYRING])
@pytest.mark.parametrize(("sent", "own"), [(BLUE, RED), (b"", RED), (BLUE, b"")])
def test_another_label_is_refused(keyring: Keyring | None, sent: bytes, own: bytes) -> None:
    packet = pack([PING], crc=False, keyring=keyring, nonce=NONCE, label=sent)
    with pytest.raises(MalformedMessageError, match="label"):
        unpack(packet, keyring, label=own)
    with pytest.raises(MalformedMessageError, match="label"):
        StreamReader(keyring, own).feed(labelled(frame(PING, keyring, NONCE, sent), sent))


def test_a_label_exchanged_on_the_way_opens_nothing() -> None:
    packet = pack([PING], crc=False, keyring=KEYRING, nonce=NONCE, label=BLUE)
    inner = unlabelled(packet, BLUE)
    assert inner is not None

    with pytest.raises(MalformedMessageError, match="no key of this node"):
        unpack(labelled(inner, RED), KEYRING, label=RED)


@pytest.mark.parametrize("data", [b"\xf4", b"\xf4\x04blu", b"\xf4\xff" + bytes(200)])
def test_a_label_cut_short_is_no_packet_and_no_stream_yet(data: bytes) -> None:
    with pytest.raises(MalformedMessageError, match="cut short"):
        unpack(data, None, label=BLUE)
    assert StreamReader(None, BLUE).feed(data) is None


def test_an_empty_label_in_a_header_is_refused() -> None:
    with pytest.raises(MalformedMessageError, match="label"):
        unpack(b"\xf4\x00" + PING, None)


def test_a_label_that_is_too_long_or_unprintable_is_an_error_of_the_flag() -> None:
    assert parse_label("", "--gossip-label") == b""
    assert parse_label("größe", "--gossip-label") == "größe".encode()
    for text in ("x" * 256, "a\nb", "\udcff" * 3):
        with pytest.raises(ConfigError, match="--gossip-label"):
            parse_label(text, "--gossip-label")


def test_labels_keep_two_clusters_apart_that_share_a_network_and_a_key() -> None:
    network = VirtualNetwork(seed=5, keys=(bytes(16),))
    for name in ("a1", "a2", "b1", "b2"):
        network.add(name, label=BLUE if name.startswith("a") else RED)
    network.join("a2", "a1")
    network.join("b2", "b1")
    network.join("b1", "a1")
    network.run(60)

    assert network.table() == {
        name: dict.fromkeys(others, "alive") for others in (("a1", "a2"), ("b1", "b2")) for name in others
    }


class Measured(VirtualNetwork):
    longest = 0

    def _send(self, source: VirtualNode, data: bytes, address: Address) -> None:
        self.longest = max(self.longest, len(data))
        super()._send(source, data, address)


@pytest.mark.parametrize("label", [b"", b"x" * 200])
def test_a_label_takes_its_room_from_the_packet(label: bytes) -> None:
    network = Measured(seed=5, keys=(bytes(16),))
    for number in range(12):
        network.add(f"node{number:02d}", {"tag": "t" * 100}, label=label)
    for name in list(network.nodes)[1:]:
        network.join(name, "node00")
    network.run(5)

    assert overhead(label) == (202 if label else 0)
    assert 1100 < network.longest <= network.config.packet_bytes
