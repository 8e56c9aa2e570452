"""The pictures in the documentation: there, whole, used, and the same whenever they are drawn."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tools import gen_demo
from tools.gen_screenshots import PICTURES, TARGET, draw

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_there_and_parses(name: str) -> None:
    text = (TARGET / f"{name}.svg").read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert "node-a" in text
    assert len(text) < 300_000


def test_every_picture_is_shown_somewhere() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "README.md", TARGET / "dashboard.md"))
    for name in PICTURES:
        assert f"{name}.svg" in pages
    assert (ROOT / "README.md").read_text().count("docs/guides/dashboard") >= 3


async def test_a_picture_drawn_twice_is_the_same() -> None:
    assert await draw("dashboard-member") == await draw("dashboard-member")


def test_the_film_is_there_moves_by_itself_and_has_no_script() -> None:
    text = gen_demo.TARGET.read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert {each.tag.rpartition("}")[2] for each in root.iter()} == {
        "svg",
        "title",
        "style",
        "rect",
        "circle",
        "text",
        "g",
    }
    assert "@keyframes" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    for caption, _, _ in gen_demo.SCENES:
        assert caption in text
    assert len(text) < 600_000
    assert gen_demo.TARGET.name in (ROOT / "README.md").read_text()
