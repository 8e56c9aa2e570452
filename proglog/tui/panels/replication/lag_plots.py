"""The lag behind each peer over time: what the panel of replication shows when it has the whole screen."""

from math import isnan

from proglog.observe import charts
from proglog.observe.history import lag_age_behind, lag_behind, levels
from proglog.observe.lag import IN_STEP
from proglog.observe.spans import Line, Locale, Role
from proglog.observe.words import duration_words, lag_words, short_count, short_duration
from proglog.tui.plots import LEAST_ROWS, Series, stacked
from proglog.tui.state import DashState


def plots(state: DashState, locale: Locale, width: int, height: int, seconds: int) -> list[Line]:
    """Return the lag behind each peer in records and in seconds, those that trail most first, as many as fit."""
    frames = state.shown_frames[-seconds:]
    if not frames or state.shown is None:
        return []
    series = []
    behind = {peer.name: (levels(frames, lag_behind(peer.name)), peer) for peer in state.shown.peers}
    for name in sorted(behind, key=lambda name: -max(charts.known(behind[name][0]), default=0.0)):
        records, peer = behind[name]
        ages = levels(frames, lag_age_behind(name))
        shown = locale.safe(name, 30).text
        series += [
            Series(
                name=f"behind {shown}",
                now=_behind(records[-1]),
                values=records,
                words=short_count,
                role=Role.WARN if peer.lag_records else Role.CHART,
                least=100.0,
            ),
            Series(
                name=f"behind {shown}, in time",
                now="not known" if isnan(ages[-1]) else duration_words(ages[-1]),
                values=ages,
                words=short_duration,
                role=Role.ACCENT,
                least=1.0,
            ),
        ]
    fitting = max(height // LEAST_ROWS, 1)
    return stacked(series[:fitting], seconds, locale, width, height)


def _behind(records: float) -> str:
    if isnan(records):
        return "not known"
    return f"{short_count(records)} records" if records else lag_words(IN_STEP)
