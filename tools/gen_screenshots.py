"""Draw the pictures of the dashboard in docs/guides from a made-up cluster with a frozen clock: `make screenshots`.

Drawn twice they are the same to the byte: nothing in them comes from this machine, its clock or its network.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from pathlib import Path

os.environ["TEXTUAL_ANIMATIONS"] = "none"  # read when Textual is imported
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from proglog.observe.spans import Locale  # noqa: E402
from proglog.record.record import StoredRecord  # noqa: E402
from proglog.tui.app import DashApp  # noqa: E402
from proglog.types import (  # noqa: E402
    Offset,
    OriginId,
    SequenceNumber,
)
from proglog.wire.model import MemberStatus  # noqa: E402
from tests.tui.conftest import NOW, Dash, Script, World  # noqa: E402

TARGET = ROOT / "docs" / "guides"
SIZE = (140, 36)
_ORDERS = ("tea", "coffee", "bread", "olives", "rice", "honey", "figs", "lemons")

Scene = Callable[[Dash], Awaitable[None]]


async def _overview(dash: Dash) -> None:
    await dash.press("2")


async def _member(dash: Dash) -> None:
    await dash.press("1", "down", "enter")


async def _copies(dash: Dash) -> None:
    dash.world.status["node-c"] = MemberStatus.FAILED
    dash.world.lag["node-b"] = 900
    await dash.run()
    await dash.press("3", "z")


async def _segments(dash: Dash) -> None:
    await dash.press("5", "z")


async def _records(dash: Dash) -> None:
    await dash.press("t")
    await dash.press("k", "k")


async def _help(dash: Dash) -> None:
    await dash.press("2", "l", "l", "l", "l", "question_mark")


async def _failed(dash: Dash) -> None:
    dash.world.status["node-c"] = MemberStatus.FAILED
    await dash.run()
    await dash.press("2")


PICTURES: dict[str, tuple[Scene, str]] = {
    "dashboard": (_overview, "proglog-dark"),
    "dashboard-member": (_member, "proglog-dark"),
    "dashboard-copies": (_copies, "proglog-dark"),
    "dashboard-segments": (_segments, "proglog-dark"),
    "dashboard-records": (_records, "proglog-dark"),
    "dashboard-help": (_help, "proglog-dark"),
    "dashboard-light": (_failed, "proglog-light"),
    "dashboard-contrast": (_failed, "proglog-contrast"),
    "dashboard-blue-orange": (_failed, "proglog-blue-orange"),
}
"""File name to what it shows, and in which theme."""


def _log() -> list[StoredRecord]:
    return [
        StoredRecord(
            value=f'{{"shop": {number % 3 + 1}, "item": "{_ORDERS[number * 5 % 8]}", "count": {number * 7 % 9 + 1}}}'.encode(),
            key=b"customer-%04d" % (number * 37 % 5_000),
            timestamp_ms=round(NOW * 1000) + number * 180,
            headers=(("type", b"order"),),
            offset=Offset(number),
            origin=OriginId(b"\xc0\xff\xee" + bytes(13)),
            sequence=SequenceNumber(number + 1),
        )
        for number in range(400)
    ]


async def draw(name: str) -> str:
    """Return one picture as SVG."""
    scene, theme = PICTURES[name]
    world, source = World(), Script()
    source.log = _log()
    app = DashApp(source, locale=Locale(timezone=UTC, now=lambda: NOW), clock=lambda: NOW + world.second, live=False)
    async with app.run_test(size=SIZE) as pilot:
        app.use_theme(theme)
        dash = Dash(app, pilot, world)
        await dash.run(90)
        for step in range(10):
            world.lag["node-b"] = 4_000 - 300 * step
            await dash.run()
        await scene(dash)
        await dash.settle()
        return app.export_screenshot(title="proglog dash", simplify=True)


async def main(names: Sequence[str]) -> None:
    """Draw pictures into their files."""
    for name in names:
        (TARGET / f"{name}.svg").write_text(await draw(name), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or tuple(PICTURES)))
