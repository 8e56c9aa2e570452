"""Messages, byte for byte as a stock agent sends them."""

from typing import Any

import msgpack
import pytest

from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.wire import (
    SerfType,
    Type,
    decode,
    decode_list,
    decode_tags,
    decode_with_long_lists,
    encode,
    encode_tags,
    printable,
    split_map,
)

LOOPBACK = bytes((127, 0, 77, 1))
META = b"\xff\x82\xa4role\xa3web\xa2dc\xda\x00\x28" + b"x" * 40

GOLDEN = {
    "alive": (
        "0486a441646472a47f004d01ab496e6361726e6174696f6e01a44d657461da0039ff82a4726f6c65a3776562a26463da0028"
        + "78" * 40
        + "a44e6f6465a3676f31a4506f7274cd461aa356736ea6010502020505",
        Type.ALIVE,
        {
            "Addr": LOOPBACK,
            "Incarnation": 1,
            "Meta": META,
            "Node": "go1",
            "Port": 0x461A,
            "Vsn": bytes.fromhex("010502020505"),
        },
    ),
    "ping": (
        (
            "0085a44e6f6465a3676f32a55365714e6f01aa536f7572636541646472a47f004d01aa536f757263654e6f6465a3676f31"
            "aa536f75726365506f7274cd461a"
        ),
        Type.PING,
        {"Node": "go2", "SeqNo": 1, "SourceAddr": LOOPBACK, "SourceNode": "go1", "SourcePort": 0x461A},
    ),
    "ack over TCP": ("0282a75061796c6f6164c0a55365714e6f05", Type.ACK, {"Payload": None, "SeqNo": 5}),
    "indirect ping": (
        (
            "0188a44e61636bc3a44e6f6465a3676f33a4506f7274cd4deaa55365714e6f04aa536f7572636541646472a47f004d02"
            "aa536f757263654e6f6465a3676f32aa536f75726365506f7274cd4deaa6546172676574a47f004d03"
        ),
        Type.INDIRECT_PING,
        {
            "Nack": True,
            "Node": "go3",
            "Port": 19946,
            "SeqNo": 4,
            "SourceAddr": bytes((127, 0, 77, 2)),
            "SourceNode": "go2",
            "SourcePort": 19946,
            "Target": bytes((127, 0, 77, 3)),
        },
    ),
    "nack": ("0b81a55365714e6f04", Type.NACK, {"SeqNo": 4}),
    "suspect": (
        "0383a446726f6da3676f31ab496e6361726e6174696f6e01a44e6f6465a3676f32",
        Type.SUSPECT,
        {"From": "go1", "Incarnation": 1, "Node": "go2"},
    ),
    "dead": (
        "0583a446726f6da3676f31ab496e6361726e6174696f6e01a44e6f6465a3676f32",
        Type.DEAD,
        {"From": "go1", "Incarnation": 1, "Node": "go2"},
    ),
    "error": (
        (
            "0d81a54572726f72da003a456e6372797074696f6e20697320636f6e66696775726564206275742072656d6f74652073746174652069"
            "73206e6f7420656e63727970746564"
        ),
        Type.ERROR,
        {"Error": "Encryption is configured but remote state is not encrypted"},
    ),
    "join intent": ("0182a54c54696d6501a44e6f6465a3676f32", SerfType.JOIN, {"LTime": 1, "Node": "go2"}),
    "leave intent": (
        "0083a54c54696d6503a44e6f6465a3676f33a55072756e65c2",
        SerfType.LEAVE,
        {"LTime": 3, "Node": "go3", "Prune": False},
    ),
    "user event": (
        "0384a24343c3a54c54696d6501a44e616d65a66465706c6f79a75061796c6f6164ab7061796c6f61642d616263",
        SerfType.USER_EVENT,
        {"CC": True, "LTime": 1, "Name": "deploy", "Payload": b"payload-abc"},
    ),
    "query": (
        (
            "048ba441646472a47f004d01a746696c7465727392a60091a3676f32b20182a445787072a45b32335da3546167a172a5466c61677301"
            "a24944ce38a3c9afa54c54696d6501a44e616d65a27271a75061796c6f6164a27070a4506f7274cd4deaab52656c6179466163746f72"
            "01aa536f757263654e6f6465a3676f31a754696d656f7574ce3b9aca00"
        ),
        SerfType.QUERY,
        {
            "Addr": LOOPBACK,
            "Filters": [b"\x00\x91\xa3go2", b"\x01\x82\xa4Expr\xa4[23]\xa3Tag\xa1r"],
            "Flags": 1,
            "ID": 0x38A3C9AF,
            "LTime": 1,
            "Name": "rq",
            "Payload": b"pp",
            "Port": 19946,
            "RelayFactor": 1,
            "SourceNode": "go1",
            "Timeout": 10**9,
        },
    ),
    "query response": (
        "0585a5466c61677301a446726f6da3676f32a24944ce38a3c9afa54c54696d6501a75061796c6f6164c0",
        SerfType.QUERY_RESPONSE,
        {"Flags": 1, "From": "go2", "ID": 0x38A3C9AF, "LTime": 1, "Payload": None},
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_message_is_encoded_as_a_stock_agent_encodes_it(name: str) -> None:
    captured, kind, fields = GOLDEN[name]
    assert encode(kind, fields).hex() == captured


@pytest.mark.parametrize("name", GOLDEN)
def test_a_stock_agents_message_is_read_field_by_field(name: str) -> None:
    captured, kind, fields = GOLDEN[name]
    data = bytes.fromhex(captured)
    assert data[0] == kind
    read = decode(data[1:])
    for key, value in fields.items():
        match value:
            case bool():
                assert read.flag(key) is value
            case int():
                assert read.uint(key, 64) == value
            case str():
                assert read.text(key) == value
            case list():
                assert read.each(key) == value
            case _:
                assert read.raw(key) == (value or b"")


def test_missing_and_nil_fields_are_zero_and_unknown_ones_are_left_alone() -> None:
    fields = decode(msgpack.packb({"Node": None, "Unknown": {"deep": [1]}}, use_bin_type=False))
    assert (fields.text("Node"), fields.uint("SeqNo"), fields.flag("Nack")) == ("", 0, False)
    assert (fields.raw("Payload"), fields.each("Filters"), fields.map("Tags")) == (b"", [], {})


def test_numbers_are_taken_signed_and_unsigned() -> None:
    assert decode(b"\x81\xa5Nodes\xd1\x00\x80").uint("Nodes") == 128
    assert decode(b"\x81\xa5Nodes\xcc\x80").uint("Nodes") == 128


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (-1, "uint"),
        (1 << 32, "uint"),
        ("text", "uint"),
        (1 << 63, "ltime"),
        (7, "raw"),
        (b"x" * 513, "text"),
        (7, "each"),
        ([], "map"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_bounds_is_refused(value: Any, read: str) -> None:
    fields = decode(msgpack.packb({"Field": value}, use_bin_type=False))
    with pytest.raises(MalformedMessageError, match="Field"):
        getattr(fields, read)("Field")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81",
        b"\x81\xa1a",
        b"\xc1",
        b"\x05",
        b"\x81\x90\x01",  # a list as a key
        b"\x81\x01\x01",  # a number as a key
        b"\x81\xa1a\xc7\xff\x00" + b"x" * 20,  # an extension type
        b"\xdd\xff\xff\xff\xff" * 20,  # lists of four billion
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 5000,
    ],
)
def test_what_is_no_map_is_an_error_of_the_protocol(data: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81",
        b"\x81\xa1L\x95",
        b"\x81\xa1L\xdd\xff\xff\xff\xff",
        b"\x91\x01",
        b"\xc1",
        b"\x81\x01\x90",
        b"\xdf\xff",
    ],
)
def test_a_map_with_long_lists_that_is_none_is_an_error_of_the_protocol(data: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode_with_long_lists(data, ["L"])


@pytest.mark.parametrize("value", [None, 7, [], [1], [{}], list(range(100_000))])
def test_a_long_list_is_read_and_what_is_none_stays_what_it_is(value: Any) -> None:
    data = msgpack.packb({"L": value, "M": b"x"}, use_bin_type=False)
    assert decode_with_long_lists(data, ["L"]).content == {b"L": value, b"M": b"x"}


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x92\xa1", b"\xc1"])
def test_what_is_no_list_is_an_error_of_the_protocol(data: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode_list(data)


def test_a_map_is_split_from_what_follows_it() -> None:
    fields, rest = split_map(b"\x81\xa5SeqNo\x07rest")
    assert (fields.uint("SeqNo"), rest) == (7, b"rest")


def test_tags_come_back_as_they_were() -> None:
    tags = {"rpc_addr": "127.0.0.1:8400", "long": "x" * 40, "": "", "ü": "\N{SNOWMAN}"}
    assert decode_tags(encode_tags(tags)) == tags


def test_long_strings_are_raw_and_never_the_newer_types() -> None:
    assert encode_tags({"dc": "x" * 40})[5:7] == b"\xda\x00"


@pytest.mark.parametrize("meta", [b"\xff", b"\xff\xc1", b"\xff\x90"])
def test_tags_that_make_no_sense_are_none(meta: bytes) -> None:
    assert decode_tags(meta) == {}


def test_a_name_that_is_not_text_survives_and_is_shown_as_escapes() -> None:
    name = decode(b"\x81\xa4Node\xa3a\xff\xfe").text("Node")
    assert encode(Type.SUSPECT, {"Node": name})[1:] == b"\x81\xa4Node\xa3a\xff\xfe"
    assert printable(name) == "a\\xff\\xfe"
