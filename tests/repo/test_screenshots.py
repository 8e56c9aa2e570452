"""The pictures in the documentation: there, whole, used, and the same whenever they are drawn."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

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
