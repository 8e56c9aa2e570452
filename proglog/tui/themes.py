"""The dashboard's own themes, and what a terminal can show.

Shape and word distinguish states; colour only helps. ``proglog-blue-orange`` uses the palette of Okabe and Ito
("Color Universal Design", 2008), which readers with any common colour deficiency tell apart: healthy is blue, never
green against red. Textual's built-in themes stay available next to these.
"""

import codecs
from collections.abc import Mapping, Sequence

from textual.theme import Theme

DEFAULT_THEME = "proglog-dark"

_DARK = ("#82aaff", "#cf9cf5", "#5fd0c5", "#f5a3c7", "#d3d67a", "#b3c4d6", "#e8c9a0", "#6fc9ff")
_LIGHT = ("#2548a8", "#6f2c9c", "#085f56", "#97215c", "#4f5a00", "#3f5163", "#6d4524", "#0a5687")
_ANSI = tuple(f"ansi_{name}" for name in ("blue", "magenta", "cyan", "bright_magenta", "bright_cyan", "bright_blue"))
_NO_GREEN = ("#9fb4ff", "#e39cc6", "#4cc7a0", "#d0d0d0", "#c3b1ff", "#f0c9dc", "#8fd3c1", "#e6d9b8")
_BRIGHT = ("#8fc1ff", "#e3a8ff", "#5ff0e0", "#ffb0d8", "#e4f07a", "#cfd8e0", "#f5d6a8", "#9fdcff")


def _variables(colours: Sequence[str]) -> dict[str, str]:
    """Return a theme's colours of members: fewer than there are accents come round again."""
    return {f"member-{number}": colours[(number - 1) % len(colours)] for number in range(1, 9)}


def accent_variables(theme: Theme) -> dict[str, str]:
    """Return the members' colours for a theme that names none."""
    return _variables(_ANSI if theme.ansi else _DARK if theme.dark else _LIGHT)


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
        variables=_variables(_NO_GREEN),
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
        variables=_variables(_BRIGHT),
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
