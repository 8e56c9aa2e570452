"""The dashboard's own themes, and what a terminal can show.

Shape and word distinguish states; colour only helps. ``proglog-blue-orange`` uses the palette of Okabe and Ito
("Color Universal Design", 2008), which readers with any common colour deficiency tell apart: healthy is blue, never
green against red. Textual's built-in themes stay available next to these.
"""

import codecs
from collections.abc import Mapping

from textual.theme import Theme

DEFAULT_THEME = "proglog-dark"

THEMES = (
    Theme(
        name="proglog-dark",
        primary="#5aa9c7",
        secondary="#7c8fa6",
        accent="#7fd1c7",
        success="#8fce6f",
        warning="#f0b45b",
        error="#ff7a70",
        foreground="#dbe2ea",
        background="#11161d",
        surface="#161c25",
        panel="#1d2530",
    ),
    Theme(
        name="proglog-light",
        primary="#17566d",
        secondary="#5b6b7c",
        accent="#085f56",
        success="#245f18",
        warning="#7a4700",
        error="#a3211a",
        foreground="#1b232c",
        background="#f6f7f9",
        surface="#eef0f3",
        panel="#e3e7ec",
        dark=False,
    ),
    Theme(
        name="proglog-blue-orange",
        primary="#56b4e9",
        secondary="#999999",
        accent="#f0e442",
        success="#56b4e9",
        warning="#e69f00",
        error="#ff8a4c",
        foreground="#e6e6e6",
        background="#101418",
        surface="#161b20",
        panel="#20262c",
    ),
    Theme(
        name="proglog-contrast",
        primary="#00d7ff",
        secondary="#ffffff",
        accent="#ffff00",
        success="#00ff5f",
        warning="#ffd700",
        error="#ff9c9c",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#1c1c1c",
        text_alpha=1.0,
    ),
)


def ascii_terminal(environ: Mapping[str, str]) -> bool:
    """Return whether a terminal is better kept to ASCII: a locale that is not UTF-8, the Linux console, or none."""
    if environ.get("TERM", "") in {"linux", "dumb"}:
        return True
    locale = next((environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(name)), "C")
    _, _, encoding = locale.partition("@")[0].partition(".")
    return not _is_utf8(encoding)


def _is_utf8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding).name == "utf-8"
    except LookupError:
        return False
