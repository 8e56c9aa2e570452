"""One second of the past in little room: a snapshot, and the numbers that charts read off it, made once.

In a cluster of fifty most of a snapshot is what each peer has of each origin: 2,450 positions, nearly all of them new
every second, a megabyte as objects. Ten minutes of that would be 600 MB, and half a second for each collection of
garbage. So a frame packs them::

    snapshot = outline (peers without origins)  +  packed (zlib of JSON: a list of origins for each peer), some kB

and unpacks them when that second is shown. The charts never do: their numbers are kept beside it.
"""

import json
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Self

from proglog.observe import lag
from proglog.observe.lag import LagTotal
from proglog.wire.model import ClusterSnapshot, PeerOrigin

PACKED_FROM = 100
"""Positions from which on it pays to pack them."""
_UNPACKED = 4
"""Frames that stay unpacked: stepping through time reads each of them several times."""

_NAMES = tuple(each.name for each in fields(PeerOrigin) if each.name != "origin")
_values = attrgetter(*_NAMES)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What was known at one second. Make it with :meth:`of`."""

    at: float
    """Seconds since 1970 on the clock of who watched."""
    live: bool
    """False: the agent could not be reached; the snapshot is the last one before."""
    outline: ClusterSnapshot
    """The snapshot; when it is packed, without what peers have of which origin."""
    packed: bytes = field(repr=False)
    """What is missing in the outline; empty: nothing."""
    lag: LagTotal
    """How far the agent trails its cluster."""
    lag_behind: Mapping[str, LagTotal]
    """How far it trails each peer that it trails, by name."""

    @classmethod
    def of(cls, snapshot: ClusterSnapshot, *, at: float, live: bool) -> Self:
        """Return the frame of a snapshot; arguments as the fields."""
        trailing = ((peer.name, lag.of_peer(peer)) for peer in snapshot.peers)
        packed = _packed(snapshot)
        return cls(
            at=at,
            live=live,
            outline=_outline(snapshot) if packed else snapshot,
            packed=packed,
            lag=lag.of_node(snapshot),
            lag_behind={name: behind for name, behind in trailing if behind != lag.IN_STEP},
        )

    def __hash__(self) -> int:
        return hash((self.at, self.packed))

    @property
    def snapshot(self) -> ClusterSnapshot:
        """Everything that was known."""
        return _unpacked(self) if self.packed else self.outline

    @property
    def agent_ms(self) -> int:
        """The agent's clock when it spoke."""
        return self.outline.taken_at_ms

    @cached_property
    def written(self) -> Mapping[str, int]:
        """Records of each writer that the agent holds, by the writer's name."""
        return written(self.outline)


def written(snapshot: ClusterSnapshot) -> Mapping[str, int]:
    """Return how many records of each writer the agent holds, by the writer's name."""
    held: Counter[str] = Counter()
    for origin in snapshot.origins:
        held[origin.node_name] += records_in(origin.next_sequence)
    return held


def records_in(next_sequence: int) -> int:
    """Return how many records an origin has before ``next_sequence``: its first sequence is its opening batch."""
    return max(next_sequence - 2, 0)


def _outline(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    return replace(snapshot, peers=tuple(replace(peer, origins=()) for peer in snapshot.peers))


def _packed(snapshot: ClusterSnapshot) -> bytes:
    if sum(len(peer.origins) for peer in snapshot.peers) < PACKED_FROM:
        return b""
    origins = [[(each.origin.hex(), *_values(each)) for each in peer.origins] for peer in snapshot.peers]
    return zlib.compress(json.dumps(origins, separators=(",", ":")).encode("ascii"), 1)


@lru_cache(maxsize=_UNPACKED)
def _unpacked(frame: Frame) -> ClusterSnapshot:
    origins = json.loads(zlib.decompress(frame.packed))
    peers = zip(frame.outline.peers, origins, strict=True)
    return replace(frame.outline, peers=tuple(replace(peer, origins=tuple(map(_origin, each))) for peer, each in peers))


def _origin(values: list[str | int | float | bool]) -> PeerOrigin:
    origin, *others = values
    return PeerOrigin(origin=bytes.fromhex(str(origin)), **dict(zip(_NAMES, others, strict=True)))  # type: ignore[arg-type]
