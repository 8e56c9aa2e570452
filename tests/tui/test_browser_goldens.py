"""How the browsers look, as text, at three sizes; and that nothing in a log is obeyed in any of their places."""

import json
import unicodedata

import pytest

from proglog.record.record import StoredRecord
from proglog.types import Offset, OriginId, SequenceNumber

SIZES = [(140, 40), (80, 24), (40, 12)]
ADA = json.dumps({"user": "ada", "n": [1, 2], "at": {"lat": 59.33, "lon": 18.06}}, indent=1).encode()
VALUES = (b"hello", ADA, b"\x00\x01\xfe\xff", "grüße 日本".encode(), b"[red]x[/] GET /index.html 200 1.2 ms")


def _record(index: int) -> StoredRecord:
    return StoredRecord(
        value=VALUES[index % len(VALUES)], key=b"k%d" % index, timestamp_ms=1_790_000_000_000 + (index - 150) * 900,
        headers=(("trace", b"1"),), offset=Offset(index), origin=OriginId(b"\xc0\xff\xee" + bytes(13)),
        sequence=SequenceNumber(index + 1),
    )  # fmt: skip


def assert_harmless(dash) -> None:
    """Every segment that goes to the terminal is printable, and no style carries a link."""
    for strip in dash.app.screen._compositor.render_strips():
        for segment in strip:
            assert not [char for char in segment.text if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
            assert segment.style is None or segment.style.link is None


async def _new(dash, count: int) -> None:
    log = dash.app.source.log
    log.extend(_record(index) for index in range(len(log), len(log) + count))
    dash.app.source.grown.set()
    await dash.settle()
    await dash.settle()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("tail", []),
        ("tail-goto", ["o"]),
        ("tail-hex", ["v"]),
        ("tail-json", ["v", "v"]),
        ("tail-record", ["k", "k", "k", "enter"]),
    ],
)
async def test_the_tail_and_its_views(open_dash, golden, size, name, keys):
    async with open_dash(size) as dash:
        dash.app.source.log = [_record(index) for index in range(150)]
        await dash.run(1)
        await dash.press("t")
        await dash.press(*keys)
        golden(f"{name}-{size[0]}x{size[1]}", dash.text)


@pytest.mark.parametrize("size", SIZES)
async def test_a_held_tail_with_news(open_dash, golden, size):
    async with open_dash(size) as dash:
        dash.app.source.log = [_record(index) for index in range(150)]
        await dash.run(1)
        await dash.press("t")
        await dash.press("space")
        await _new(dash, 1_204)
        golden(f"tail-held-{size[0]}x{size[1]}", dash.text)


HOSTILE = (
    b"[/]", b"[@click=app.quit]click[/]", b"[link=file:///etc/passwd]x[/link]", b"\x1b]52;c;ZXZpbA==\x07\x1b[2J",
    "abc\u202etxt.exe\u2066".encode(), b"\xff\xfe\x80wrong", b"e" + "\u0301".encode() * 80, b"x" * 2**20,
    b'{"\\u001b]0;t\\u0007[red]": "\\u202e\\ud800", "b": "[/]"}', b"[" * 60_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b'{"k": ' + b"9" * 20_000 + b"}", json.dumps({"k" * 100: ["[/]"] * 5_000}).encode(), b'"' * 3_000 + b":", b"",
)  # fmt: skip


async def test_no_view_of_a_record_obeys_it(open_dash):
    async with open_dash((80, 24)) as dash:
        dash.app.source.log = [
            StoredRecord(
                value=value, key=value[:5_000], timestamp_ms=2**62, headers=(("[/]\x1b", value[:5_000]),),
                offset=Offset(index), origin=OriginId(bytes(16)), sequence=SequenceNumber(index + 1),
            )
            for index, value in enumerate(HOSTILE)
        ]  # fmt: skip
        await dash.run(1)
        await dash.press("t")
        await dash.press("v", "v")
        assert_harmless(dash)
        await dash.press("g", "enter")
        for _ in HOSTILE:
            assert_harmless(dash)
            await dash.press("y", "Y", "n")
        assert not dash.app._exit


async def test_a_hostile_place_is_refused_as_text(open_dash):
    async with open_dash((100, 30)) as dash:
        await dash.run(1)
        await dash.press("t", "o")
        dash.app.screen.query_one("Input").value = "[@click=app.quit]\u202e[/]"
        await dash.press("enter")
        assert "is no place" in next(iter(dash.app._notifications)).message
        assert_harmless(dash)
