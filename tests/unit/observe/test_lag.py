"""Lags add up: of the origins of a peer, and of the peers of a node, each origin once."""

from dataclasses import replace

from proglog.observe.lag import IN_STEP, LagTotal, Trend, of_node, of_origin, of_peer
from proglog.wire.model import (
    ClusterSnapshot,
    FsyncPolicy,
    LogState,
    LogStatus,
    NodeStatus,
    PeerOrigin,
    PeerState,
    PeerStatus,
)


def _origin(
    name: bytes, records: int, trend: float = 0.0, catch_up_ms: int | None = None, age_ms: int = 0
) -> PeerOrigin:
    return PeerOrigin(
        origin=name, node_name="", next_sequence=1, peer_next_sequence=1 + records, lag_records=records,
        lag_bytes=10 * records, lag_ms=age_ms, peer_lag_records=0, source=True, lag_trend=trend,
        catch_up_ms=0 if not records else catch_up_ms,
    )  # fmt: skip


def _peer(name: str, *origins: PeerOrigin) -> PeerStatus:
    return PeerStatus(
        name=name, rpc_addr="", state=PeerState.STREAMING, error="", origins=origins, records_copied=0,
        bytes_copied=0, records_dropped=0, retry_in_ms=None,
    )  # fmt: skip


def _snapshot(*peers: PeerStatus) -> ClusterSnapshot:
    node = NodeStatus(
        name="a", version="", origin=b"", rpc_addr="", bind_addr="", data_dir="", started_at_ms=0, tls=False,
        acl=False, gossip_encrypted=False,
    )  # fmt: skip
    log = LogStatus(
        start_offset=0, end_offset=0, bytes=0, segment_count=0, fsync=FsyncPolicy.ALWAYS, state=LogState.OK, disk_free_bytes=0,
        disk_total_bytes=0, records_appended=0, bytes_appended=0, records_served=0,
    )  # fmt: skip
    return ClusterSnapshot(
        node=node, log=log, members=(), origins=(), peers=peers, segments=(), events=(), taken_at_ms=0
    )


def test_the_origins_of_a_peer_add_up_and_the_slowest_decides_when_all_is_there():
    peer = _peer("b", _origin(b"x", 30, -5.0, 6_000, 400), _origin(b"y", 10, -1.0, 10_000, 900), _origin(b"z", 0))
    assert of_peer(peer) == LagTotal(records=40, size_bytes=400, age_ms=900, per_second=-6.0, catch_up_ms=10_000)


def test_nobody_knows_when_all_is_there_while_one_origin_does_not_shrink():
    assert of_peer(_peer("b", _origin(b"x", 30, -5.0, 6_000), _origin(b"y", 10, 1.0))).catch_up_ms is None


def test_an_origin_that_several_peers_have_counts_once_at_the_one_with_most():
    b, c = _peer("b", _origin(b"x", 30)), _peer("c", _origin(b"x", 50), _origin(b"y", 7))
    assert of_node(_snapshot(b, c)).records == 57
    assert of_node(_snapshot(_peer("b", _origin(b"x", 0)))) == of_node(_snapshot()) == IN_STEP


def test_a_trend_that_is_lost_in_the_noise_is_none():
    lag = of_origin(_origin(b"x", 100_000, 50.0))
    assert lag.trend is Trend.STEADY
    assert replace(lag, per_second=200.0).trend is Trend.GROWING
    assert replace(lag, per_second=-200.0).trend is Trend.SHRINKING
    assert replace(lag, records=3, per_second=-0.2).trend is Trend.SHRINKING
