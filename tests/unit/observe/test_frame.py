"""A frame keeps everything in little room."""

from dataclasses import fields, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.big_cluster import Cluster
from proglog.observe import lag
from proglog.observe.frame import PACKED_FROM, Frame
from proglog.wire.model import ClusterSnapshot, PeerOrigin


def _snapshot(members: int) -> ClusterSnapshot:
    cluster = Cluster(members, segments=3)
    for _ in range(5):
        cluster.advance(1000)
    return cluster.told_by(0, segments=True)


def test_a_large_snapshot_is_packed_and_comes_back_as_it_was() -> None:
    snapshot = _snapshot(20)
    frame = Frame.of(snapshot, at=1.0, live=True)
    assert frame.packed
    assert all(peer.origins == () for peer in frame.outline.peers)
    assert frame.snapshot == snapshot
    assert frame.snapshot is frame.snapshot
    assert len(frame.packed) < 3_000


def test_a_small_snapshot_is_kept_as_it_is() -> None:
    snapshot = _snapshot(4)
    frame = Frame.of(snapshot, at=1.0, live=True)
    assert frame.snapshot is frame.outline is snapshot


def test_a_frame_knows_its_numbers_without_unpacking() -> None:
    snapshot = _snapshot(20)
    frame = Frame.of(snapshot, at=1.0, live=True)
    assert frame.lag == lag.of_node(snapshot)
    assert frame.lag.records > 0
    trailing = {peer.name: peer.lag_records for peer in snapshot.peers if peer.lag_records}
    assert {name: behind.records for name, behind in frame.lag_behind.items()} == trailing
    assert frame.written["node-07"] == snapshot.origins[7].next_sequence - 2
    assert frame.agent_ms == snapshot.taken_at_ms


VALUES = {
    bytes: st.binary(min_size=16, max_size=16),
    str: st.text(max_size=9),
    int: st.integers(-(2**63), 2**64),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    int | None: st.none() | st.integers(-(2**63), 2**64),
}


@settings(max_examples=30)
@given(st.builds(PeerOrigin, **{each.name: VALUES[each.type] for each in fields(PeerOrigin)}))
def test_whatever_an_agent_says_survives_packing(origin: PeerOrigin) -> None:
    snapshot = _snapshot(2)
    peer = replace(snapshot.peers[0], origins=(origin,) * PACKED_FROM)
    snapshot = replace(snapshot, peers=(peer,))
    assert Frame.of(snapshot, at=1.0, live=True).snapshot == snapshot
