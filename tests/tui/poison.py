"""What a hostile peer, producer or agent may say, put into every text of a snapshot."""

import dataclasses
import random
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from proglog.wire.model import ClusterEvent, ClusterSnapshot

NASTY = (
    "[/]",
    "[/x]",
    "[red]hot",
    "[@click=app.quit]click[/]",
    "[link=file:///etc/passwd]x[/link]",
    "$error [$primary]",
    "\x1b]0;title\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b[2J\x1b[H\x9b31m",
    "\x1bP+q544e\x1b\\\x1b_G\x1b\\\x90q\x9c",
    "\x9d52;c;ZXZpbA==\x9c",
    "\x1b[?1049l\x1b[?1000h\x1b[6n\x1bc",
    "abc\u202etxt.exe\u2066",
    "zero\u200bwidth\u2060\ufeff\u00ad",
    "\u2028line\u2029paragraph\u0085",
    "\r\n\t\x00\x7f\x0b\x0c\x08",
    "日本語" * 60,
    "e" + "\u0301" * 80,
    "\u0301\u0300starts with marks",
    "Z\u0334\u0321\u035a\u0353" * 40,
    "👨\u200d👩\u200d👧 ✔\ufe0f 🇩🇪 ½ ● ①",
    "\U000e0041\U000e007f\U0010ffff\ue000",
    "\ud800\udfff"[0],
    "",
    " ",
    "\\",
    "\\[",
    "x" * 5_000,
    "[/",
    "[@click=app.",
)


def poisoned(
    snapshot: ClusterSnapshot, seed: int, *, texts: Sequence[str] = NASTY, numbers: bool = True
) -> ClusterSnapshot:
    """Returns ``snapshot`` with a hostile string for every string in it, and odd numbers."""
    poison = _Poison(random.Random(seed), texts, numbers)
    events = tuple(ClusterEvent(at_ms=0, kind=text, subject=text, detail=text) for text in texts)
    return dataclasses.replace(poison.into(snapshot), events=events)


def poison_world(world: Any, seed: int) -> None:
    """Lets the agent of a made-up cluster say hostile things from now on."""
    world.overrides = {}
    hostile = poisoned(world.snapshot(), seed)
    world.overrides = {part.name: getattr(hostile, part.name) for part in dataclasses.fields(hostile)}
    world.overrides["taken_at_ms"] = 1_790_000_003_000


@dataclasses.dataclass
class _Poison:
    dice: random.Random
    texts: Sequence[str]
    numbers: bool

    def into(self, value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [part.name for part in dataclasses.fields(value)]
            return dataclasses.replace(value, **{name: self.into(getattr(value, name)) for name in names})
        if isinstance(value, StrEnum | bool | bytes):
            return value
        if isinstance(value, str):
            return self.dice.choice(self.texts)
        if isinstance(value, tuple):
            return tuple(self.into(item) for item in value)
        if isinstance(value, dict):
            return {self.dice.choice(self.texts): self.dice.choice(self.texts) for _ in range(5)}
        return self._number(value) if self.numbers else value

    def _number(self, value: Any) -> Any:
        if isinstance(value, int):
            return self.dice.choice([0, 1, value, -1, 2**63 - 1, 2**64])
        if isinstance(value, float):
            return self.dice.choice([0.0, value, -1.0, 1e300, -1e300])
        return value
