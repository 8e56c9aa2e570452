r"""Foreign text made safe to print: nothing in it can move a cursor, reverse a line or break a column.

Record values, node names, tags and peers' errors come from anyone with write access. On a terminal such bytes are
a program: ``ESC ]52;`` fills the clipboard, a right-to-left override swaps what an operator reads. So every string
that came over the network or from a disk passes through :func:`safe_text` before it is shown:

==========================================  ==========================  ==================
what                                        becomes                     in ASCII
==========================================  ==========================  ==================
C0 controls and DEL                         control pictures, ``␛``     ``\x1b``
C1 controls, bidi, zero-width, surrogates   escapes, ``\u202e``         ``\u202e``
bytes that are no UTF-8                     ``\xff``                    ``\xff``
a combining mark on nothing, or too many    escapes, ``\u0301``         ``\u0301``
==========================================  ==========================  ==================

The result has no markup meaning of its own, but it may contain brackets: a caller that passes it to a markup parser has to
turn that parser off. Widths are terminal *cells* as Rich and Textual count them.
"""

from rich.cells import get_character_cell_size

_CONTROL_PICTURES = 0x2400
_DELETE_PICTURE = "\u2421"
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
_MAX_STACK = 3
"""Combining marks on one character: enough for every living script, not enough to paint over neighbouring lines."""
_MAX_UNITS_PER_CELL = 4 * (_MAX_STACK + 1)
"""Bytes that one cell can need at most: a character and its marks, four bytes each in UTF-8."""


def safe_text(value: str | bytes, max_cells: int | None = None, *, ascii_only: bool = False) -> str:
    r"""Return ``value`` as one printable line.

    Args:
        value: Anything; bytes are read as UTF-8 and the rest of them shown as ``\xNN``.
        max_cells: The widest result, at least 1; a longer one ends in ``…`` (in ASCII ``~``). ``None``: no limit.
        ascii_only: Keep to ASCII, for terminals that show nothing else.
    """
    head = value if max_cells is None else value[: (max_cells + 1) * _MAX_UNITS_PER_CELL]
    text = head.decode("utf-8", "backslashreplace") if isinstance(head, bytes) else head
    if not (text.isascii() and text.isprintable()):
        text = _visible(text, ascii_only=ascii_only)
    return text if max_cells is None else _truncated(text, max_cells, "~" if ascii_only else "…")


def cells(text: str) -> int:
    """Return how many terminal cells ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(map(get_character_cell_size, text))


def fit(text: str, width: int, *, right: bool = False, ascii_only: bool = False) -> str:
    """Return ``text`` cut or padded with blanks to exactly ``width`` cells; numbers go to the ``right``."""
    text = _truncated(text, width, "~" if ascii_only else "…")
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def _visible(text: str, *, ascii_only: bool) -> str:
    """Return ``text`` with a glyph or an escape for everything that has no glyph of its own."""
    shown = []
    stack = _MAX_STACK  # a mark at the very start has nothing to sit on
    for char in text:
        if _is_mark(char) and stack < _MAX_STACK and not ascii_only:
            stack += 1
            shown.append("" if ord(char) in _VARIATION_SELECTORS else char)
        else:
            glyph = _glyph(char, ascii_only=ascii_only)
            stack = 0 if glyph == char else _MAX_STACK
            shown.append(glyph)
    return "".join(shown)


def _is_mark(char: str) -> bool:
    return char.isprintable() and get_character_cell_size(char) == 0


def _glyph(char: str, *, ascii_only: bool) -> str:
    code = ord(char)
    if char.isascii() and char.isprintable():
        return char
    if not ascii_only:
        if code < 0x20:
            return chr(_CONTROL_PICTURES + code)
        if code == 0x7F:
            return _DELETE_PICTURE
        if not _is_mark(char) and (char.isprintable() or _is_blank(char)):
            return char
    return char.encode("ascii", "backslashreplace").decode("ascii") if code > 0x7F else f"\\x{code:02x}"


def _is_blank(char: str) -> bool:
    """Spaces with a width (no-break, ideographic, ...) are not printable to Python but harmless to a terminal."""
    return char.isspace() and ord(char) > 0x9F and char not in "\u2028\u2029"


def _truncated(text: str, max_cells: int, ellipsis: str) -> str:
    if cells(text) <= max_cells:
        return text
    kept, room = [], max_cells - 1
    for char in text:
        room -= get_character_cell_size(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + ellipsis
