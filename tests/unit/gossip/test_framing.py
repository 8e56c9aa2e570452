"""Datagrams and streams around messages."""

import random
import zlib
from typing import Any

import msgpack
import pytest

from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.framing import MAX_STREAM_BYTES, StreamReader, frame, pack, push_pull, unpack
from proglog.gossip.keyring import Keyring, SealMode
from proglog.gossip.wire import Type, encode, encode_map

KEYRING = Keyring((bytes(range(32)),))
PING = encode(Type.PING, {"SeqNo": 1, "Node": "a"})
NACK = encode(Type.NACK, {"SeqNo": 2})
NONCE = bytes(12)


def compressed(data: bytes) -> bytes:
    """``data`` in literal codes only: LZW that does not get shorter."""
    bits = 256
    width = 9
    for index, byte in enumerate(data[:200], start=1):
        bits |= byte << (9 * index)
        width += 9
    bits |= 257 << width
    packed = bits.to_bytes((width + 9 + 7) // 8, "little")
    return bytes((Type.COMPRESS,)) + msgpack.packb({"Algo": 0, "Buf": packed}, use_bin_type=False)


@pytest.mark.parametrize("keyring", [None, KEYRING])
@pytest.mark.parametrize("crc", [False, True])
@pytest.mark.parametrize("messages", [[PING], [PING, NACK, PING]])
def test_packed_messages_come_back(messages: list[bytes], crc: bool, keyring: Keyring | None) -> None:
    assert unpack(pack(messages, crc=crc, keyring=keyring, nonce=NONCE), keyring) == messages


def test_the_layout_of_a_compound_with_a_checksum() -> None:
    packet = pack([PING, NACK], crc=True, keyring=None, nonce=b"")
    compound = bytes((7, 2, 0, len(PING), 0, len(NACK))) + PING + NACK
    assert packet == b"\x0c" + zlib.crc32(compound).to_bytes(4, "big") + compound


def test_an_empty_part_is_never_sent() -> None:
    with pytest.raises(AssertionError, match="older agents exit"):
        pack([PING, b""], crc=False, keyring=None, nonce=b"")


def test_compressed_parts_of_a_compound_are_unpacked() -> None:
    packet = pack([compressed(PING), NACK], crc=False, keyring=None, nonce=b"")
    assert unpack(packet, None) == [PING, NACK]


def test_parts_that_were_cut_off_and_empty_ones_are_left_out() -> None:
    packet = bytes((7, 3, 0, len(PING), 0, 0, 0, 200)) + PING + b"short"
    assert unpack(packet, None) == [PING]


@pytest.mark.parametrize(
    "packet",
    [b"", b"\x07", b"\x07\x00", b"\x07\x05\x00", b"\x0c\x00\x00\x00\x00rest", b"\x09\x81", b"\x09\x81\xa4Algo\x01"],
)
def test_a_packet_that_makes_no_sense_is_refused(packet: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        unpack(packet, None)


def test_wrapping_is_bounded() -> None:
    packet = PING
    for _ in range(6):
        packet = bytes((7, 1)) + len(packet).to_bytes(2, "big") + packet
    with pytest.raises(MalformedMessageError, match="nested"):
        unpack(packet, None)


def test_plain_text_is_refused_where_a_key_is_set_and_sealed_text_without_one() -> None:
    with pytest.raises(MalformedMessageError):
        unpack(PING, KEYRING)
    sealed = pack([PING], crc=False, keyring=KEYRING, nonce=NONCE)
    assert unpack(sealed, KEYRING) == [PING]
    with pytest.raises(MalformedMessageError):
        unpack(sealed, Keyring((bytes(16),)))


def exchange(count: int, state: bytes = b"serf") -> bytes:
    nodes: list[dict[str, Any]] = [{"Name": f"node-{number}", "Addr": bytes(4)} for number in range(count)]
    return push_pull(join=True, nodes=[encode_map(node) for node in nodes], state=state)


@pytest.mark.parametrize("keyring", [None, KEYRING])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_stream_is_read_in_pieces_of_any_size(step: int, keyring: Keyring | None) -> None:
    data = frame(exchange(20), keyring, NONCE)
    reader = StreamReader(keyring)
    for start in range(0, len(data) - step, step):
        assert reader.feed(data[start : start + step]) is None
    rest = data[max(0, (len(data) - 1) // step * step) :]
    message = reader.feed(rest)
    assert message is not None
    assert [node.text("Name") for node in message.nodes] == [f"node-{number}" for number in range(20)]
    assert (message.state, message.fields.flag("Join")) == (b"serf", True)


def test_a_compressed_stream_is_read() -> None:
    message = StreamReader(None).feed(compressed(PING))
    assert message is not None
    assert (message.kind, message.fields.uint("SeqNo")) == (Type.PING, 1)


def test_a_user_message_on_a_stream_has_a_length() -> None:
    head = bytes((Type.USER,)) + msgpack.packb({"UserMsgLen": 5}, use_bin_type=False)
    reader = StreamReader(None)
    assert reader.feed(head + b"he") is None
    message = reader.feed(b"llo and more")
    assert message is not None
    assert message.state == b"hello"


def test_one_sided_encryption_is_named() -> None:
    with pytest.raises(MalformedMessageError, match="encryption is not configured"):
        StreamReader(None).feed(frame(PING, KEYRING, NONCE))
    with pytest.raises(MalformedMessageError, match="is not encrypted"):
        StreamReader(KEYRING).feed(PING)


def test_the_frame_header_is_authenticated() -> None:
    data = bytearray(frame(PING, KEYRING, NONCE) + b"x")
    data[4] += 1
    with pytest.raises(MalformedMessageError, match="no key"):
        StreamReader(KEYRING).feed(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a" + (MAX_STREAM_BYTES + 1).to_bytes(4, "big"),
        b"\x06\x83\xa4Join\xc3\xa5Nodes\xce\xff\xff\xff\xff\xacUserStateLen\x00",
        b"\x06\x83\xa4Join\xc3\xa5Nodes\x00\xacUserStateLen\xce\xff\xff\xff\xff",
    ],
)
def test_a_stream_that_announces_too_much_is_refused_before_it_comes(data: bytes) -> None:
    with pytest.raises(MalformedMessageError, match=r"limit|more than"):
        StreamReader(KEYRING if data[0] == Type.ENCRYPT else None).feed(data)


def test_a_plain_stream_without_an_end_is_refused_in_time() -> None:
    reader = StreamReader(None)
    fed = 0
    with pytest.raises(MalformedMessageError):
        reader.feed(b"\x00\xdf\x00\x00\xff\xff")
        for number in range(2000):
            piece = b"".join(
                b"\xda\x10\x00%04d" % number + random.Random(number).randbytes(4092) + b"\x01" for _ in "x"
            )
            fed += len(piece)
            reader.feed(piece)
    assert fed <= 5 << 20


@pytest.mark.parametrize(
    ("mode", "sends_sealed", "takes_plain"),
    [(SealMode.ACCEPT, False, True), (SealMode.SEND, True, True), (SealMode.REQUIRED, True, False)],
)
def test_on_the_way_to_sealed_gossip_both_are_taken_in(mode: SealMode, sends_sealed: bool, takes_plain: bool) -> None:
    key, message = bytes(range(32)), bytes((Type.NACK,)) + b"\x81\xa5SeqNo\x07"
    ring, full = Keyring((key,), mode), Keyring((key,))
    packet = pack([message], crc=False, keyring=ring, nonce=bytes(12))
    stream = frame(message, ring, bytes(12))
    assert (packet != message, stream != message) == (sends_sealed, sends_sealed)
    assert unpack(pack([message], crc=False, keyring=full, nonce=bytes(12)), ring) == [message]
    assert StreamReader(ring).feed(frame(message, full, bytes(12))) is not None
    if takes_plain:
        assert unpack(message, ring) == [message]
        assert StreamReader(ring).feed(message) is not None
        return
    with pytest.raises(MalformedMessageError):
        unpack(message, ring)
    with pytest.raises(MalformedMessageError, match="not encrypted"):
        StreamReader(ring).feed(message)
