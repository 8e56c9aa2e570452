"""The line of time while an earlier moment is shown: where it is in what is remembered, and where something happened.

::

    14:03:20 ├────●──✖─────◆────▲───────────┤ 14:13:20   n p: events, @: a time, f: x4
"""

from bisect import bisect_left
from collections.abc import Sequence

from proglog.observe.events import mark_of
from proglog.observe.frame import Frame
from proglog.observe.spans import Line, Locale, Role, Span, width_of
from proglog.telemetry.emit import Weight
from proglog.tui.state import DashState
from proglog.wire.model import ClusterEvent

_ROLES = {Weight.GOOD: Role.GOOD, Weight.WARN: Role.WARN, Weight.BAD: Role.BAD}
_HEAVINESS = list(_ROLES)


def line_of_time(state: DashState, locale: Locale, width: int, hint: str = "") -> Line:
    """Return the line, ``width`` cells at most; nothing at the present."""
    if state.frame_index is None or not state.frames:
        return ()
    first, last = (locale.clock(state.frames[at].at) for at in (0, -1))
    left = [Span(f" {first} ", Role.MUTED), Span(locale.pick("├", "|"), Role.MUTED)]
    right = [Span(locale.pick("┤", "|"), Role.MUTED), Span(f" {last} ", Role.MUTED)]
    room = width - width_of([*left, *right])
    if room < 10:
        return ()
    told = [Span(f" {hint}", Role.MUTED)] if hint and len(hint) + 40 < room else []
    return (*left, *_track(state, locale, room - width_of(told)), *right, *told)


def frame_at_cell(state: DashState, cell: int, width: int) -> int | None:
    """Return the frame of a cell of the line; ``None``: it is not on the track."""
    start, room = 11, width - 22
    if not state.frames or room < 10 or not start <= cell < width - 10:
        return None
    return min((cell - start) * len(state.frames) // room, len(state.frames) - 1)


def _track(state: DashState, locale: Locale, room: int) -> list[Span]:
    cells = [Span(locale.pick("─", "-"), Role.MUTED)] * room
    weights: dict[int, Weight] = {}
    for at, shape, weight in marks(state, locale):
        cell = min(at * room // len(state.frames), room - 1)
        if cell not in weights or _HEAVINESS.index(weight) >= _HEAVINESS.index(weights[cell]):
            weights[cell] = weight
            cells[cell] = Span(shape, _ROLES[weight])
    assert state.frame_index is not None
    here = min(state.frame_index * room // len(state.frames), room - 1)
    cells[here] = Span(locale.pick("◆", "#"), Role.ACCENT)
    return cells


def marks(state: DashState, locale: Locale) -> list[tuple[int, str, Weight]]:
    """Return frame, shape and weight of each event that is more than news, oldest first."""
    if not state.frames:
        return []
    times = [frame.agent_ms for frame in state.frames]
    found = []
    for event in _events(state.frames):
        mark, weight = mark_of(event.kind)
        if weight in _ROLES and event.at_ms >= times[0]:
            place = min(bisect_left(times, event.at_ms), len(times) - 1)
            found.append((place, locale.shape(mark), weight))
    return found


def neighbour(state: DashState, way: int) -> int | None:
    """Return the frame of the next event (1), or of the one before (-1); ``None``: there is none."""
    here = len(state.frames) - 1 if state.frame_index is None else state.frame_index
    places = sorted({place for place, _, _ in marks(state, Locale())})
    if way > 0:
        return next((place for place in places if place > here), None)
    return next((place for place in reversed(places) if place < here), None)


def _events(frames: Sequence[Frame]) -> list[ClusterEvent]:
    return sorted({*frames[0].outline.events, *frames[-1].outline.events}, key=lambda event: event.at_ms)
