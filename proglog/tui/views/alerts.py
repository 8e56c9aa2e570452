"""Why something needs attention: cause, effect, since when, what is at risk, what to do, and the command that shows more."""

import shlex
from collections.abc import Sequence

from proglog.observe.health import Finding
from proglog.observe.safe_text import safe_text
from proglog.observe.spans import Line, Locale, Role, Span, line, wrap
from proglog.observe.words import duration_words
from proglog.tui.state import DashState
from proglog.tui.views.header import advice_words, alert_words

MOST = 50
"""Findings that are shown."""
_PANELS = {
    "members": ("member-failed", "members-alive", "membership", "unreachable", "silent"),
    "replication": ("stream-down", "lag", "no-source", "not-copied", "peer-lag"),
    "copies": ("copies-lost", "copies-stranded", "copies-few"),
    "segments": ("log-damaged", "index-missing", "disk-free", "log-state", "log-problem", "stuck"),
}
_LABEL = 10


def panel_of(alert: Finding) -> str:
    """Return the panel that shows what a finding is about."""
    return next((panel for panel, rules in _PANELS.items() if alert.rule in rules), "events")


def command(alert: Finding, state: DashState, tls: Sequence[str] = ()) -> str:
    """Return the command that shows more; empty where no shell should get it, or nothing can be asked."""
    addr = alert.at or state.stand_in or state.target
    if state.recorded or not addr or safe_text(addr) != addr:
        return ""
    return shlex.join(("proglog", *alert.verb.split(), "--addr", addr, *tls))


def lines(state: DashState, locale: Locale, width: int, *, chosen: int = -1, tls: Sequence[str] = ()) -> list[Line]:
    """Return a card for each finding, the worst first; the chosen one is marked."""
    if not state.alerts:
        return [line(Span("Nothing needs attention.", Role.GOOD))]
    shown: list[Line] = []
    for number, alert in enumerate(state.alerts[:MOST]):
        mark = Span(locale.pick("▎ ", "> ") if number == chosen else "  ", Role.ACCENT)
        card = [*wrap(alert_words(alert, locale), width - 2), *_facts(alert, state, locale, width - 2, tls)]
        shown += [(mark, *part) for part in card]
        shown.append(())
    return shown[:-1]


def _facts(alert: Finding, state: DashState, locale: Locale, width: int, tls: Sequence[str]) -> list[Line]:
    found: list[Line] = []
    for label, text in (("effect", alert.effect), ("at risk", alert.at_risk)):
        if text:
            found += wrap([Span(label.ljust(_LABEL), Role.MUTED), locale.safe(text, 300)], width, indent=_LABEL)
    if alert.since_ms >= 0:
        words = (
            f"{duration_words(alert.since_ms / 1000)}, since {locale.moment(state.shown_at - alert.since_ms / 1000)}"
        )
        found.append(line(Span("for".ljust(_LABEL), Role.MUTED), words))
    advice = [Span("do".ljust(_LABEL), Role.MUTED), *advice_words(alert, locale)[1:]]
    found += wrap(advice, width, indent=_LABEL)
    shell = command(alert, state, tls)
    if shell:
        found += wrap(
            [Span("$".ljust(_LABEL), Role.MUTED), locale.safe(shell, 400, role=Role.ACCENT)], width, indent=_LABEL
        )
    return found


def where(alert: Finding, state: DashState, locale: Locale, width: int) -> int:
    """Return on which line the card of a finding begins."""
    before = state.alerts[: state.alerts.index(alert)] if alert in state.alerts else ()
    cards = (
        len(wrap(alert_words(each, locale), width - 2)) + len(_facts(each, state, locale, width - 2, ()))
        for each in before
    )
    return sum(cards) + len(before)
