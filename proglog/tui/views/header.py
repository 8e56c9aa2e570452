"""The two lines at the top: what is watched and how it is reached; what needs attention."""

from proglog.observe.copies_view import verdict
from proglog.observe.health import Finding, Severity
from proglog.observe.lag import of_node
from proglog.observe.safe_text import cells
from proglog.observe.spans import Line, Locale, Role, Span, line, spread, width_of
from proglog.observe.words import bytes_words, count_words, duration_words, lag_amounts, trend_mark
from proglog.tui.panels.replication.lag_cells import IN_FLIGHT_MS
from proglog.tui.state import DashState, Phase
from proglog.wire.model import MemberStatus

_ALERT_ROLES = {Severity.INFO: Role.ACCENT, Severity.WARNING: Role.WARN, Severity.CRITICAL: Role.BAD}


def header_line(state: DashState, locale: Locale, width: int) -> Line:
    """Return name and address at the left, the connection at the right."""
    connection = connection_line(state, locale, brief=width < 76)
    left = watched_line(state, locale, " proglog " if width >= 60 else " ")
    middle = totals_line(state, locale)
    roomy = width_of(left) + width_of(middle) + width_of(connection) + 8 <= width
    return spread([*left, *middle] if roomy else left, [Span(" "), *connection, Span(" ")], width)


def watched_line(state: DashState, locale: Locale, prefix: str = "") -> Line:
    """Return name and address of the agent that is watched."""
    name = [locale.member(state.shown.node.name, 40), Span(" ")] if state.shown else []
    return (Span(prefix, Role.ACCENT), *name, *_address(state, locale))


def _address(state: DashState, locale: Locale) -> Line:
    if not state.stand_in or state.paused:
        return line(locale.safe(state.target, 60, role=Role.MUTED))
    instead = Span(f"instead of {locale.safe(state.home or state.target, 40).text} ", Role.WARN)
    return line(instead, locale.safe(state.stand_in, 60, role=Role.MUTED))


def totals_line(state: DashState, locale: Locale) -> Line:
    """Return how many members are alive, and how much the agent holds."""
    snapshot = state.shown
    if snapshot is None:
        return ()
    log, dot = snapshot.log, locale.pick(" · ", " | ")
    alive = sum(member.status is MemberStatus.ALIVE for member in snapshot.members)
    records = count_words(log.end_offset - log.start_offset)
    words = [f"{alive} of {len(snapshot.members)} alive", f"{records} records", bytes_words(log.bytes)]
    if not state.stale:
        words.append(f"up {duration_words((snapshot.up_ms + state.agent_now_ms - snapshot.taken_at_ms) / 1000)}")
    return line(Span("   " + dot.join(words), Role.MUTED))


def connection_line(state: DashState, locale: Locale, *, brief: bool = False) -> Line:
    """Return the state of the connection, or the moment of the past that is shown."""
    if state.paused:
        return _past(state, locale, brief=brief)
    half = locale.pick("◐", "~")
    if state.silent:
        return line(Span(f"{half} silent", Role.WARN), Span(f", data {_data_age(state)} old", Role.MUTED))
    if state.phase is Phase.LIVE:
        clock = "" if brief else " " + locale.clock(state.now)
        return line(Span(locale.pick("● ", "+ ") + "live", Role.GOOD), Span(clock, Role.MUTED))
    if state.phase is Phase.CONNECTING:
        return line(Span(f"{half} connecting", Role.WARN))
    return _lost(state, half, brief=brief)


def _lost(state: DashState, half: str, *, brief: bool) -> Line:
    wait = state.retry_at - state.now
    retry = f"in {duration_words(wait)}" if wait >= 0.05 else "now"
    age = f"data {_data_age(state)} old" if state.latest else "no data yet"
    if brief:
        return line(Span(f"{half} retry {retry} #{state.attempt}", Role.WARN))
    return line(Span(f"{half} reconnecting {retry} (attempt {state.attempt})", Role.WARN), Span(f", {age}", Role.MUTED))


def _data_age(state: DashState) -> str:
    return duration_words(state.now - state.received_at)


def _past(state: DashState, locale: Locale, *, brief: bool) -> Line:
    word = "playing" if state.playing else "paused"
    at = locale.clock(state.shown_at)
    bars = locale.pick("▸", ">") if state.playing else locale.pick("‖", "=")
    if brief:
        return line(Span(f"{bars} {word} {at}", Role.ACCENT))
    assert state.frame_index is not None
    place = f"second {state.frame_index + 1} of {len(state.frames)}"
    back = f"{duration_words(state.now - state.shown_at)} ago, " if not state.recorded else ""
    return line(Span(f"{bars} {word} at {at}", Role.ACCENT), Span(f", {back}{place}", Role.MUTED))


def health_line(state: DashState, locale: Locale, width: int) -> Line:
    """Return what needs attention in one line: the worst first, as many as fit."""
    if state.shown is None:
        return _waiting(state, locale, width)
    serious = [alert for alert in state.alerts if alert.severity > Severity.INFO]
    present = _present(state, locale)
    width -= width_of(present)
    return (*_judged(state, serious, locale, width), *present)


def _present(state: DashState, locale: Locale) -> Line:
    """Return how things are now, while the screen shows an earlier moment."""
    if not state.paused or state.recorded:
        return ()
    serious = [alert for alert in state.alerts_now if alert.severity > Severity.INFO]
    if not serious:
        return line(Span(" now: ", Role.MUTED), Span(locale.pick("✓ ", "ok ") + "well ", Role.GOOD))
    worst = serious[0].severity
    shape = alert_shape(worst, locale)
    return line(Span(" now: ", Role.MUTED), Span(f"{shape} {len(serious)} ", _ALERT_ROLES[worst]))


def _judged(state: DashState, serious: list[Finding], locale: Locale, width: int) -> Line:
    if not serious:
        well = Span(locale.pick(" ✓ ", " ok ") + "nothing needs attention", Role.GOOD)
        return spread([well, *_replication(state, locale, width - cells(well.text))], [], width)
    role = _ALERT_ROLES[serious[0].severity]
    count = f"{locale.pick(' ▲', ' !')} {len(serious)} need{'s' if len(serious) == 1 else ''} attention "
    parts = [part for alert in serious[:8] for part in (Span("  "), *alert_words(alert, locale))]
    more = [Span(" a: why ", Role.MUTED)] if width >= 60 else []
    return spread([Span(count, role), *parts], more, width)


def _replication(state: DashState, locale: Locale, room: int) -> Line:
    """Return how far the agent trails its cluster, in as many words as fit; nothing when there are no copies to make."""
    if state.shown is None or not state.shown.peers:
        return ()
    behind, dot = of_node(state.shown), locale.pick(" · ", " | ")
    if behind.age_ms < IN_FLIGHT_MS:
        return line(Span(dot, Role.MUTED), locale.safe(verdict(state.shown.copies), max(room - 3, 8), role=Role.MUTED))
    name, amounts = locale.safe(state.shown.node.name, 40).text, lag_amounts(behind)
    parts = [*(f"{name} trails by {words}" for words in amounts), f"trails by {amounts[-1]}", f"lag {amounts[-1]}"]
    arrow = f"{dot}{locale.shape(trend_mark(behind.trend))} "
    fitting = next((words for words in parts if cells(words) + len(arrow) <= room), parts[-1])
    return line(Span(arrow + fitting, Role.MUTED))


def _waiting(state: DashState, locale: Locale, width: int) -> Line:
    if state.error:
        return spread([Span(" "), locale.safe(state.error, 300, role=Role.WARN)], [], width)
    return spread([Span(" waiting for the agent's first word", Role.MUTED)], [], width)


def alert_words(alert: Finding, locale: Locale) -> Line:
    """Return an alert as a sentence with its shape."""
    role = _ALERT_ROLES[alert.severity]
    return line(
        Span(f"{alert_shape(alert.severity, locale)} ", role), locale.safe(f"{alert.subject} {alert.cause}", 160)
    )


def advice_words(alert: Finding, locale: Locale) -> Line:
    """Return what to do about an alert."""
    return line(Span("  "), locale.safe(alert.advice, 300, role=Role.MUTED))


def alert_shape(severity: Severity, locale: Locale) -> str:
    """Return the shape of a severity, one cell."""
    shapes = {Severity.INFO: ("·", "."), Severity.WARNING: ("▲", "!"), Severity.CRITICAL: ("✖", "x")}
    return locale.pick(*shapes[severity])
