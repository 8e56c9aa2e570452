"""The last minutes, one frame a second: what sparklines are drawn from, what a pause walks back in, what is recorded.

A frame represents a whole snapshot. Consecutive frames share every value that did not change, and pack what does all
the time, so an hour weighs little. Series are read off the numbers of the frames. Pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import nan
from typing import TypeVar

from proglog.observe.frame import Frame
from proglog.observe.lag import IN_STEP
from proglog.wire.model import ClusterSnapshot

FRAME_SECONDS = 1.0
CAPACITY = 3_600
"""Frames kept at most: an hour, as long as an agent keeps itself."""

LEAST_CAPACITY = 600
"""Frames kept of any cluster: ten minutes."""
_HOUR_WEIGHT = 18
"""Members, origins and peers of a cluster of six: an hour of it takes some ten megabytes."""

_T = TypeVar("_T")


def capacity(snapshot: ClusterSnapshot | None) -> int:
    """Return how many frames of a cluster are kept: an hour of a small one, fewer of a large one, whose frames are large."""
    if snapshot is None:
        return CAPACITY
    weight = len(snapshot.members) + len(snapshot.origins) + len(snapshot.peers)
    return min(CAPACITY, max(LEAST_CAPACITY, CAPACITY * _HOUR_WEIGHT // max(weight, 1)))


def shared(new: ClusterSnapshot, old: ClusterSnapshot | None) -> ClusterSnapshot:
    """Return ``new`` built from the values of ``old`` wherever the two are equal."""
    if old is None:
        return new
    return replace(
        new,
        node=old.node if old.node == new.node else new.node,
        members=_shared(new.members, old.members),
        origins=_shared(new.origins, old.origins),
        peers=_shared(new.peers, old.peers),
        segments=_shared(new.segments, old.segments),
        events=_shared(new.events, old.events),
        consumers=_shared(new.consumers, old.consumers),
        latencies=_shared(new.latencies, old.latencies),
    )


def _shared(new: tuple[_T, ...], old: tuple[_T, ...]) -> tuple[_T, ...]:
    if new == old:
        return old
    kept = tuple(before if after == before else after for after, before in zip(new, old, strict=False))
    return kept + new[len(kept) :]


Counter = Callable[[Frame], int]
Gauge = Callable[[Frame], float]


def rates(frames: Sequence[Frame], counter: Counter) -> list[float]:
    """Return how fast ``counter`` grew between each two frames, per second; ``nan`` where that is not known.

    It is not known while the agent could not be reached, nor across its restart.
    """
    found: list[float] = []
    for before, after in pairwise(frames):
        nothing_new = after.live and _run(before) == _run(after) and after.outline.up_ms == before.outline.up_ms
        found.append(found[-1] if nothing_new and found else _rate(before, after, counter))
    return found


def _rate(before: Frame, after: Frame, counter: Counter) -> float:
    seconds = (after.outline.up_ms - before.outline.up_ms) / 1000
    if _run(before) != _run(after) or not after.live or not seconds > 0:
        return nan
    return max(counter(after) - counter(before), 0) / seconds


def _run(frame: Frame) -> tuple[str, bytes, int]:
    """Identifies whose counters these are: an agent, from one start to the next."""
    node = frame.outline.node
    return node.name, node.origin, node.started_at_ms


def rate_now(frames: Sequence[Frame], counter: Counter, seconds: int = 3) -> float:
    """Return the growth per second of ``counter`` over the last ``seconds`` frames, smoothed as one interval."""
    recent = frames[-seconds - 1 :]
    rate = _rate(recent[0], recent[-1], counter) if len(recent) > 1 else 0.0
    return rate if rate == rate else 0.0  # noqa: PLR0124 - only nan differs from itself


def levels(frames: Sequence[Frame], gauge: Gauge) -> list[float]:
    """Return ``gauge`` of each frame; ``nan`` while the agent could not be reached."""
    return [gauge(frame) if frame.live else nan for frame in frames]


def appended(frame: Frame) -> int:
    """Records appended by the agent since it started, copies included."""
    return frame.outline.log.records_appended


def appended_bytes(frame: Frame) -> int:
    """Bytes appended by the agent since it started, copies included."""
    return frame.outline.log.bytes_appended


def served(frame: Frame) -> int:
    """Records served to consumers by the agent since it started."""
    return frame.outline.log.records_served


def written_by(member: str) -> Counter:
    """Return the counter of the records that originate from a member, as far as the agent holds them."""
    return lambda frame: frame.written.get(member, 0)


def consumed_by(name: str) -> Counter:
    """Return the counter of how far a named consumer has come, all origins added up."""
    return lambda frame: next((each.consumed for each in frame.outline.consumers if each.name == name), 0)


def backlog_of(name: str) -> Gauge:
    """Return the gauge of how many records a named consumer has not had; ``nan`` while the agent does not know it."""
    return lambda frame: next(
        (float(each.records_behind) for each in frame.outline.consumers if each.name == name), nan
    )


def total_lag(frame: Frame) -> float:
    """Records that peers have and the agent lacks, each origin counted once at its worst."""
    return float(frame.lag.records)


def lag_behind(peer: str) -> Gauge:
    """Return the gauge of how many records of a peer the agent lacks."""
    return lambda frame: float(frame.lag_behind.get(peer, IN_STEP).records)


def lag_age_behind(peer: str) -> Gauge:
    """Return the gauge of how many seconds the agent is behind a peer, in the origin where that is worst."""
    return lambda frame: frame.lag_behind.get(peer, IN_STEP).age_ms / 1000
