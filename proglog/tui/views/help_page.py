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
    return [*shown, *_keys(bindings, width)]


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
    """Return a line for each action of the dashboard, its keys first, by task; what the footer shows leads its task."""
    tasks: dict[str, dict[tuple[str, str], list[str]]] = {task: {} for task, _ in _TASKS}
    footer_first = sorted(bindings.items(), key=lambda item: not item[1].binding.show)
    for key, active in footer_first:
        name = active.binding.id or ""  # one without an id is Textual's own
        words = active.tooltip or active.binding.tooltip or active.binding.description
        if name and words and active.enabled and not active.binding.system:
            keys = tasks[_task(name)]
            keys.setdefault((active.binding.action, words), []).append(active.binding.key_display or key_label(key))
    shown: list[Line] = []
    for task, actions in tasks.items():
        if actions:
            shown += [*([()] if shown else []), line(Span(task, Role.ACCENT))]
        for (_, words), names in actions.items():
            label = " ".join(dict.fromkeys(names))
            shown += wrap(line(Span(label.ljust(_KEY_CELLS), Role.STRONG), words), width, indent=_KEY_CELLS)
    return shown


_TASKS = (
    ("Keys: what is under the cursor", ()),
    ("Keys: moving", ("table.up", "table.down", "table.left", "table.right", "table.half", "table.page", "table.first",
                      "table.last", "screen.")),
    ("Keys: panels", ("main.members", "main.replication", "main.copies", "main.throughput", "main.segments", "main.events",
                      "main.consumers", "main.zoom", "main.mode", "main.severity", "main.window")),
    ("Keys: time", ("app.pause", "app.back", "app.forward", "main.next-event", "main.event-before", "main.seek",
                    "main.speed", "records.minute", "records.hour", "records.day")),
    ("Keys: files, help, leaving", ("app.", "main.quit", "main.back", "browser.back")),
)  # fmt: skip
"""Tasks, and how the ids of their actions begin; what is in none of them is about the row."""


def _task(name: str) -> str:
    return next((task for task, starts in _TASKS if name.startswith(starts)), _TASKS[0][0])
