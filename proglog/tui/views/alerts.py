"""Everything that needs attention, and what to do about it."""

from proglog.observe.spans import Line, Locale, Role, Span, line, wrap
from proglog.tui.state import DashState
from proglog.tui.views.header import advice_words, alert_words


def lines(state: DashState, locale: Locale, width: int) -> list[Line]:
    """Return each alert with its advice, the worst first."""
    if not state.alerts:
        return [line(Span("Nothing needs attention.", Role.GOOD))]
    shown: list[Line] = []
    for alert in state.alerts[:50]:
        shown += [*wrap(alert_words(alert, locale), width), *wrap(advice_words(alert, locale), width), ()]
    return shown[:-1]
