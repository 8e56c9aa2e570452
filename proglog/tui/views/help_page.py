"""The help: what the number under the cursor means, and the keys that work right now, from the bindings themselves."""

from collections.abc import Mapping
from dataclasses import dataclass

from textual.binding import ActiveBinding

from proglog.observe.spans import Line, Locale, Role, Span, line, wrap
from proglog.tui.keymap import key_label
from proglog.tui.state import DashState
from proglog.tui.table import Columns
from proglog.tui.views.header import advice_words, alert_words

_KEY_CELLS = 16

_TITLE_CELLS = 13
_LABEL_CELLS = 7
_UNTITLED = "bar"


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpTopic:
    """What the help is about: what the cursor is on."""

    panel: str = ""
    """Its name; empty: none."""
    about: tuple[str, ...] = ()
    """What there is to say about it as a whole."""
    columns: Columns = ()
    """Of the table that has the focus, as far as they are in view."""
    column: int = 0
    """The one that the cursor is in."""
    subject: str = ""
    """The row that it is on. Foreign text."""
    value: str = ""
    """The text, with foreign parts already made safe."""


def lines(
    bindings: Mapping[str, ActiveBinding], topic: HelpTopic, state: DashState, locale: Locale, width: int
) -> list[Line]:
    """Return the help: the number under the cursor, its panel, the keys.

    Args:
        bindings: What is bound on the screen below the help.
        topic: What the cursor was on.
        state: What needs attention about it.
        locale: What the terminal can show.
        width: In cells.
    """
    shown = [*_under_the_cursor(topic, state, locale, width), *_panel(topic, locale, width)]
    return [*shown, line(Span("Keys", Role.ACCENT)), *_keys(bindings, width)]


def _under_the_cursor(topic: HelpTopic, state: DashState, locale: Locale, width: int) -> list[Line]:
    """Return what the column means, how its value is judged, and what needs attention about the row."""
    if not topic.columns or (explained := topic.columns[topic.column].help) is None:
        return []
    title = topic.columns[topic.column].title or _UNTITLED
    value = [locale.safe(" ".join(topic.value.split()), 60, role=Role.STRONG)] if topic.value else []
    whose = (
        [Span(" of ", Role.MUTED), locale.safe(topic.subject, 40)]
        if topic.subject and topic.value.strip() != topic.subject
        else []
    )
    shown = wrap(line(Span(title, Role.ACCENT), *whose, *([Span(": ", Role.MUTED)] if value else []), *value), width)
    for label, text in (("is", explained.means), ("well?", explained.judge), ("do", explained.act)):
        if text:
            shown += wrap(
                line(Span(label.ljust(_LABEL_CELLS), Role.MUTED), _plain(text, locale)), width, indent=_LABEL_CELLS
            )
    for alert in state.alerts:
        if topic.subject and alert.subject == topic.subject:
            shown += [*wrap(alert_words(alert, locale), width), *wrap(advice_words(alert, locale), width)]
    return [*shown, ()]


def _panel(topic: HelpTopic, locale: Locale, width: int) -> list[Line]:
    """Return what there is to say about the panel, and its other columns in a line each."""
    shown = [part for meaning in topic.about for part in wrap(line(_plain(meaning, locale)), width)]
    for index, column in enumerate(topic.columns):
        if column.help is not None and index != topic.column:
            title = (column.title or _UNTITLED).ljust(_TITLE_CELLS)
            shown += wrap(line(Span(title, Role.STRONG), _plain(column.help.means, locale)), width, indent=_TITLE_CELLS)
    return [line(Span(topic.panel.capitalize(), Role.ACCENT)), *shown, ()] if shown and topic.panel else []


def _plain(text: str, locale: Locale) -> Span:
    ascii_shapes = str.maketrans("✖○↗↘▸↻▲◂●◐✓", "x-/\\>~!<+~=")
    return Span(text.translate(ascii_shapes) if locale.ascii_only else text)


def _keys(bindings: Mapping[str, ActiveBinding], width: int) -> list[Line]:
    """Return a line for each action, its keys first: those that the footer shows, then the others."""
    keys: dict[tuple[str, str], list[str]] = {}
    footer_first = sorted(bindings.items(), key=lambda item: not item[1].binding.show)
    for key, active in footer_first:
        words = active.tooltip or active.binding.tooltip or active.binding.description
        if words and active.enabled and not active.binding.system:
            keys.setdefault((active.binding.action, words), []).append(active.binding.key_display or key_label(key))
    shown = []
    for (_, words), names in keys.items():
        label = " ".join(dict.fromkeys(names))
        shown += wrap(line(Span(label.ljust(_KEY_CELLS), Role.STRONG), words), width, indent=_KEY_CELLS)
    return shown
