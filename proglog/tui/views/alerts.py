"""Everything that needs attention, what follows from it, and what to do about it."""

from proglog.observe.spans import Line, Locale, Role, Span, line, wrap
from proglog.tui.state import DashState
from proglog.tui.views.header import advice_words, alert_words, effect_words


def lines(state: DashState, locale: Locale, width: int) -> list[Line]:
    """Return each alert with its effect and its advice, the worst first."""
    if not state.alerts:
        return [line(Span("Nothing needs attention.", Role.GOOD))]
    shown: list[Line] = []
    for alert in state.alerts[:50]:
        effect = effect_words(alert, locale)
        shown += [
            *wrap(alert_words(alert, locale), width),
            *(wrap(effect, width) if effect else ()),
            *wrap(advice_words(alert, locale), width),
            (),
        ]
    return shown[:-1]
