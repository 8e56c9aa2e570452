"""How far a node trails, added up: one origin, all that a peer has, or all that the cluster has.

::

    origins of a peer:   records and bytes add up, the oldest is what it trails by in time
    peers of a node:     each origin counts once, at the peer that has most of it

Trend and estimate are the agent's own (``PeerOrigin.lag_trend``, ``catch_up_ms``), so that one snapshot is enough to
tell them. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from proglog.wire.model import ClusterSnapshot, PeerOrigin, PeerStatus

WINDOW_SECONDS = 10
"""Over which agents measure a trend."""
_STEADY_SHARE = 0.01
"""A lag that changes by less than this share of itself in a window is steady: an estimate would be noise."""


class Trend(Enum):
    """Where a lag is going."""

    GROWING = "growing"
    STEADY = "steady"
    SHRINKING = "shrinking"


@dataclass(frozen=True, slots=True, kw_only=True)
class LagTotal:
    """How far a copy trails its source; nothing but zeros: it is in step."""

    records: int = 0
    size_bytes: int = 0
    """Of these records; 0: not known."""
    age_ms: int = 0
    """How far back in time the copy is; 0: not known."""
    per_second: float = 0.0
    """Records a second by which it grows; negative: it shrinks; 0: it does not change, or that is not known."""
    catch_up_ms: int | None = None
    """Until it is gone, at that trend; ``None``: not known, or it does not shrink."""

    @property
    def trend(self) -> Trend:
        """Where it is going; a change that is lost in the noise is none."""
        if abs(self.per_second) * WINDOW_SECONDS < max(1.0, self.records * _STEADY_SHARE):
            return Trend.STEADY
        return Trend.GROWING if self.per_second > 0 else Trend.SHRINKING


_MAX_RATE = 1e15
IN_STEP = LagTotal()


def of_origin(origin: PeerOrigin) -> LagTotal:
    """Return how far the agent trails a peer in one origin."""
    return LagTotal(
        records=origin.lag_records,
        size_bytes=origin.lag_bytes,
        age_ms=origin.lag_ms,
        per_second=_bounded(origin.lag_trend),
        catch_up_ms=origin.catch_up_ms,
    )


def of_peer(peer: PeerStatus) -> LagTotal:
    """Return how far the agent trails a peer in all origins."""
    return _with_unlisted(_sum(peer.origins), peer.unlisted_lag_records, peer.unlisted_lag_bytes)


def of_node(snapshot: ClusterSnapshot) -> LagTotal:
    """Return how far the agent trails its cluster: each origin once, as its best holder has it."""
    worst: dict[bytes, PeerOrigin] = {}
    for peer in snapshot.peers:
        for origin in peer.origins:
            known = worst.get(origin.origin)
            if known is None or (origin.lag_records, origin.source) > (known.lag_records, known.source):
                worst[origin.origin] = origin
    unlisted = max(((peer.unlisted_lag_records, peer.unlisted_lag_bytes) for peer in snapshot.peers), default=(0, 0))
    return _with_unlisted(_sum(worst.values()), *unlisted)


def _bounded(per_second: float) -> float:
    """Return a rate that can be rounded and added, whatever another node says."""
    return max(-_MAX_RATE, min(_MAX_RATE, per_second))


def _with_unlisted(listed: LagTotal, records: int, size_bytes: int) -> LagTotal:
    """Return the total with the records of origins that are not listed: those that are listed lag more."""
    return replace(listed, records=listed.records + records, size_bytes=listed.size_bytes + size_bytes)


def _sum(origins: Iterable[PeerOrigin]) -> LagTotal:
    behind = [origin for origin in origins if origin.lag_records > 0]
    if not behind:
        return IN_STEP
    left = [origin.catch_up_ms or 0 for origin in behind]
    return LagTotal(
        records=sum(origin.lag_records for origin in behind),
        size_bytes=sum(origin.lag_bytes for origin in behind),
        age_ms=max(origin.lag_ms for origin in behind),
        per_second=_bounded(sum(origin.lag_trend for origin in behind)),
        catch_up_ms=max(left) if min(left) > 0 else None,
    )
