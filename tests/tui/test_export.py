"""A recording as a page: whole in itself, the words of the screen, and nothing in it that a browser would obey."""

import base64
import hashlib
import json
import re
import shutil
import stat
import subprocess
import unicodedata
from datetime import UTC
from html.parser import HTMLParser

import pytest

from proglog.cli.app import invoke
from proglog.observe.frame import Frame
from proglog.observe.recording import save
from proglog.observe.spans import Locale
from proglog.tui import export
from proglog.wire.model import MemberStatus
from tests.tui.conftest import NOW, World
from tests.tui.poison import NASTY, poison_world, poisoned
from tests.tui.test_hostile import INVISIBLE

LOCALE = Locale(timezone=UTC, now=lambda: NOW)
MARKUP = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt;",
    "]]>",
    "'\"`",
)


class Tags(HTMLParser):
    """The tags of a page, and the addresses in them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def _frames(world: World, seconds: int) -> list[Frame]:
    made = []
    for _ in range(seconds):
        world.second += 1
        made.append(Frame.of(world.snapshot(), at=NOW + world.second, live=True))
    return made


def _data(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def _text(data: dict, frame: int) -> str:
    _, *parts = data["frames"][frame]
    return "\n".join("".join(words for _, words in data["lines"][line]) for part in parts for line in part)


def test_each_moment_says_what_the_screen_says(world):
    frames = _frames(world, 5)
    world.status["node-c"] = MemberStatus.FAILED
    world.lag["node-b"] = 20_000
    page = export.page("127.0.0.1:8400", [*frames, *_frames(world, 3)], LOCALE)
    data = _data(page)
    first, last = _text(data, 0), _text(data, -1)
    assert "3 of 3 alive" in first
    assert "nothing needs attention" in first
    assert "node-c failed" in last
    assert "20,000 records" in last
    assert "\n  do   " in last, "why, and what to do"
    assert len(data["frames"]) == 8
    assert {mark[2] for mark in data["marks"]} <= {"good", "warn", "bad"}


def test_a_page_is_whole_and_fetches_nothing(world):
    page = export.page("127.0.0.1:8400", _frames(world, 3), LOCALE)
    tags = Tags(page)
    assert not {"link", "img", "iframe", "object", "base", "form"} & set(tags.tags)
    assert not {"src", "href", "action", "srcset"} & {name for name, _ in tags.attributes}
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp|WebSocket|eval\(|innerHTML|document\.write", page)
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(value for name, value in tags.attributes if name == "content" and value and "default-src" in value)
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


@pytest.mark.parametrize("seed", range(4))
def test_hostile_words_are_shown_and_never_markup(world, seed):
    frames = _frames(world, 2)
    poison_world(world, seed)
    hostile = [Frame.of(poisoned(world.snapshot(), seed, texts=(*MARKUP, *NASTY)), at=NOW + 9, live=True)]
    plain = Tags(export.page("a", frames, LOCALE))
    page = export.page(MARKUP[seed], [*frames, *hostile], LOCALE)
    assert Tags(page).tags == plain.tags, "no tag but those of the page itself"
    assert page.isascii() or all(unicodedata.category(char) not in INVISIBLE - {"Cc"} for char in page)
    words = [words for line in _data(page)["lines"] for _, words in line]
    assert not [char for text in words for char in text if unicodedata.category(char) in INVISIBLE]
    assert {role for line in _data(page)["lines"] for role, _ in line} <= set(export.Role)


def test_of_a_long_recording_there_are_so_many_moments_and_those_of_events():
    kept = export.moments(10_000, [5, 777, 9_998])
    assert len(kept) <= export.MOST_MOMENTS + 4
    assert {0, 5, 777, 9_998, 9_999} <= set(kept)
    assert export.moments(3, []) == [0, 1, 2]


def test_the_verb_writes_a_page_for_its_owner_alone(world, tmp_path, capsys):
    save(tmp_path / "it.sqlite", "127.0.0.1:8400", _frames(world, 3))
    page = tmp_path / "it.html"
    assert invoke(["dash", "--replay", str(tmp_path / "it.sqlite"), "--html", str(page)]) == 0
    assert "3 of 3 alive" in _text(_data(page.read_text()), 0)
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert invoke(["dash", "--html", str(page)]) == 2
    assert "--html needs --replay" in capsys.readouterr().err


BROWSER = shutil.which("chromium")


@pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")
def test_a_browser_plays_it_and_hostile_words_stay_words(world, tmp_path):
    frames = _frames(world, 3)
    hostile = poisoned(world.snapshot(), 2, texts=MARKUP[2:3])
    page = tmp_path / "page.html"
    page.write_text(export.page("a", [*frames, Frame.of(hostile, at=NOW + 9, live=True)], LOCALE), encoding="utf-8")
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    drawn = subprocess.run(
        [*command, "--virtual-time-budget=3000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=90,
    ).stdout
    sections = Tags(drawn).tags.count("section")
    assert sections == len(export.PARTS), "the page's script ran"
    assert "&lt;img src=x onerror=alert(1)&gt;" in drawn, "the words are there as words"
    assert "img" not in Tags(drawn).tags
    assert Tags(drawn).tags.count("script") == 2
