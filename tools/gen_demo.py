"""Draw the short film of the dashboard in docs/guides from a made-up cluster with a frozen clock: `make screenshots`.

An SVG that moves by itself, without a script: each line of the terminal is drawn once and shown in the scenes that have
it. Drawn twice it is the same to the byte.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC
from html import escape
from itertools import groupby
from pathlib import Path

os.environ["TEXTUAL_ANIMATIONS"] = "none"  # read when Textual is imported
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.cells import cell_len  # noqa: E402
from rich.segment import Segment  # noqa: E402
from textual.strip import Strip  # noqa: E402

from proglog.observe.spans import Locale  # noqa: E402
from proglog.tui.app import DashApp  # noqa: E402
from proglog.wire.model import MemberStatus  # noqa: E402
from tests.tui.conftest import NOW, Dash, Script, World, origin_of  # noqa: E402

TARGET = ROOT / "docs" / "guides" / "dashboard-film.svg"
COLUMNS, LINES = 132, 38
_CELL, _LINE, _TOP, _EDGE = 8, 17, 34, 12
_GROUND, _INK = "#11161d", "#dbe2ea"
_SHADES = {**dict(zip("▁▂▃▄▅▆▇█", range(1, 9), strict=True))}
"""Eighths of a cell, from its foot: drawn as boxes, so that no font leaves gaps."""

Step = Callable[[Dash], Awaitable[None]]


async def _pass(dash: Dash) -> None:
    await dash.run(2)


async def _hang(dash: Dash) -> None:
    world = dash.world
    world.last_words["node-c"] = {origin_of(name): world.written(name) + 2 for name in world.names}
    world.status["node-c"], world.since["node-c"] = MemberStatus.FAILED, world.second
    world.events.append(world.event(world.second, "member-failed", "node-c", "no answer to 4 probes"))
    await dash.run(3)


async def _why(dash: Dash) -> None:
    await dash.press("a")


async def _back(dash: Dash) -> None:
    world = dash.world
    await dash.press("escape")
    world.status["node-c"], world.since["node-c"] = MemberStatus.ALIVE, world.second
    world.events.append(world.event(world.second, "member-join", "node-c", "10.0.0.3:8401"))
    await dash.run()


async def _catch_up(dash: Dash) -> None:
    world = dash.world
    for name, end in world.last_words["node-c"].items():
        writer = next(each for each in world.names if origin_of(each) == name)
        world.last_words["node-c"][name] = (end + world.written(writer) + 2) // 2
    await dash.run()


async def _whole(dash: Dash) -> None:
    dash.world.last_words.clear()
    await dash.run(2)


async def _flip(dash: Dash) -> None:
    dash.world.damaged["node-b", "node-a"] = ((4_800, 4_860),)
    await dash.run()


async def _heal(dash: Dash) -> None:
    dash.world.damaged.clear()
    await dash.run(2)


async def _open(dash: Dash) -> None:
    await dash.press("3", "enter")


async def _records(dash: Dash) -> None:
    await dash.press("escape", "1")
    await dash.run()


SCENES: tuple[tuple[str, float, Step], ...] = (
    ("three agents, and what flows between them", 2.0, _pass),
    ("three agents, and what flows between them", 1.0, _pass),
    ("three agents, and what flows between them", 1.0, _pass),
    ("one of them hangs", 1.5, _hang),
    ("one of them hangs", 2.0, _pass),
    ("a: why, since when, what is at risk, what to do", 4.0, _why),
    ("it comes back, and catches up", 1.2, _back),
    ("it comes back, and catches up", 1.2, _catch_up),
    ("it comes back, and catches up", 1.5, _whole),
    ("a byte rots on a disk: one cell turns red", 2.5, _flip),
    ("and heals from a peer", 2.0, _heal),
    ("3, enter: who has which records", 3.0, _open),
    ("every record on 3 of 3", 2.0, _records),
)
"""What is said below the picture, for how many seconds, and what happens before."""


async def film() -> str:
    """Return the film as SVG."""
    world, source = World(), Script()
    app = DashApp(source, locale=Locale(timezone=UTC, now=lambda: NOW), clock=lambda: NOW + world.second, live=False)
    pictures: list[list[str]] = []
    async with app.run_test(size=(COLUMNS, LINES)) as pilot:
        dash = Dash(app, pilot, world)
        await dash.run(100)
        for caption, _, step in SCENES:
            await step(dash)
            await dash.settle()
            strips = app.screen._compositor.render_strips()
            pictures.append([*map(_drawn, strips), _caption(caption)])
    return "".join(_svg(pictures))


def _caption(words: str) -> str:
    return f'<text x="{COLUMNS * _CELL / 2:g}" y="22" text-anchor="middle" fill="#f0b45b">{escape(words)}</text>'


def _drawn(strip: Strip) -> str:
    """Return a line: boxes for backgrounds and blocks, text for the rest."""
    boxes, texts, at = [], [], 0
    for segment in strip:
        style = segment.style
        ground = style.bgcolor.get_truecolor().hex if style and style.bgcolor and style.bgcolor.triplet else _GROUND
        ink = style.color.get_truecolor().hex if style and style.color and style.color.triplet else _INK
        width = cell_len(segment.text)
        if ground != _GROUND:
            boxes.append(f'<rect x="{at * _CELL}" width="{width * _CELL}" height="{_LINE}" fill="{ground}"/>')
        bold = ' font-weight="bold"' if style and style.bold else ""
        for kind, length, text in _runs(segment):
            if kind:
                height = _LINE * kind / 8
                boxes.append(
                    f'<rect x="{at * _CELL}" y="{_LINE - height:g}" width="{length * _CELL}" height="{height:g}" fill="{ink}"/>'
                )
            elif text.strip():
                texts.append(
                    f'<text x="{at * _CELL}" y="13" textLength="{length * _CELL}" fill="{ink}"{bold}>{escape(text)}</text>'
                )
            at += length
    return "".join([*boxes, *texts])


def _runs(segment: Segment) -> Iterator[tuple[int, int, str]]:
    """Yield parts of a segment: eighths of a block, or 0; cells; text."""
    for kind, run in groupby(segment.text, key=lambda char: _SHADES.get(char, 0)):
        text = "".join(run)
        yield kind, cell_len(text), text


def _svg(pictures: list[list[str]]) -> Iterable[str]:
    width, height = COLUMNS * _CELL + 2 * _EDGE, LINES * _LINE + _TOP + _EDGE + 30
    starts = [sum(seconds for _, seconds, _ in SCENES[:at]) for at in range(len(SCENES) + 1)]
    shown: dict[tuple[int, str], list[int]] = {}
    for scene, lines in enumerate(pictures):
        for row, line in enumerate(lines):
            shown.setdefault((row, line), []).append(scene)
    patterns: dict[tuple[int, ...], str] = {}
    for scenes in shown.values():
        patterns.setdefault(tuple(scenes), f"s{len(patterns)}")
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13">'
    yield "<title>A proglog dashboard: a member hangs and comes back, a byte rots and heals</title><style>text{white-space:pre}"
    for scenes, name in patterns.items():
        if len(scenes) < len(pictures):
            yield f"@keyframes {name}{{{_keyframes(scenes, starts)}}}.{name}{{animation:{name} {starts[-1]:g}s step-end infinite}}"
    yield "</style>"
    yield f'<rect width="{width}" height="{height}" rx="10" fill="{_GROUND}" stroke="#3a4656"/>'
    yield "".join(
        f'<circle cx="{20 + 18 * at}" cy="17" r="6" fill="{fill}"/>'
        for at, fill in enumerate(("#ff7a70", "#f0b45b", "#8fce6f"))
    )
    yield f'<text x="{width / 2:g}" y="21" text-anchor="middle" fill="#9aa6b2">proglog dash</text>'
    for (row, line), scenes in shown.items():
        if line:
            style = f' class="{patterns[tuple(scenes)]}"' if len(scenes) < len(pictures) else ""
            yield f'<g transform="translate({_EDGE},{_TOP + row * _LINE})"{style}>{line}</g>'
    yield "</svg>\n"


def _keyframes(scenes: tuple[int, ...], starts: list[float]) -> str:
    """Return the moments at which a line appears and goes."""
    parts, before = [], None
    for scene in range(len(starts) - 1):
        visible = scene in scenes
        if visible != before:
            parts.append(f"{100 * starts[scene] / starts[-1]:.3g}%{{opacity:{int(visible)}}}")
        before = visible
    return "".join(parts)


if __name__ == "__main__":
    TARGET.write_text(asyncio.run(film()), encoding="utf-8")
