"""Snapshots cross the wire unchanged."""

import dataclasses
from enum import StrEnum
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proglog.api.v1 import cluster_pb2
from proglog.wire import model
from proglog.wire.convert import NEAREST, SnapshotReader, from_message, to_message

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
UINT = st.integers(0, 2**53)
COUNT = st.integers(0, 2**31 - 1)
ORIGIN = st.binary(min_size=16, max_size=16)
PEER_ORIGINS = st.builds(
    model.PeerOrigin,
    origin=ORIGIN,
    node_name=TEXT,
    next_sequence=UINT,
    peer_next_sequence=UINT,
    lag_records=UINT,
    lag_bytes=UINT,
    lag_ms=UINT,
    peer_lag_records=UINT,
    source=st.booleans(),
    lag_trend=st.floats(-1e9, 1e9),
    catch_up_ms=st.none() | UINT,
)
SNAPSHOTS = st.builds(
    model.ClusterSnapshot,
    node=st.builds(
        model.NodeStatus,
        name=TEXT,
        version=TEXT,
        origin=ORIGIN,
        rpc_addr=TEXT,
        bind_addr=TEXT,
        data_dir=TEXT,
        started_at_ms=UINT,
        tls=st.booleans(),
        acl=st.booleans(),
        gossip_encrypted=st.booleans(),
        certificate_expires_at_ms=st.none() | UINT,
        origin_reason=TEXT,
        membership_problems=st.lists(
            st.builds(model.MembershipProblem, key=TEXT, detail=TEXT, critical=st.booleans()), max_size=2
        ).map(tuple),
        replication_protocol=st.none() | st.builds(model.VersionRange, lowest=COUNT, highest=COUNT),
    ),
    log=st.builds(
        model.LogStatus,
        start_offset=UINT,
        end_offset=UINT,
        bytes=UINT,
        segment_count=COUNT,
        fsync=st.sampled_from(model.FsyncPolicy),
        state=st.sampled_from(model.LogState),
        disk_free_bytes=UINT,
        disk_total_bytes=UINT,
        records_appended=UINT,
        bytes_appended=UINT,
        records_served=UINT,
        damaged=st.lists(
            st.builds(
                model.DamagedRange, start_offset=UINT, end_offset=UINT, detail=TEXT, found_at_ms=st.none() | UINT
            ),
            max_size=2,
        ).map(tuple),
        recovery=TEXT,
        state_detail=TEXT,
        problems=st.lists(st.builds(model.LogProblem, key=TEXT, detail=TEXT, since_ms=UINT), max_size=2).map(tuple),
    ),
    members=st.lists(
        st.builds(
            model.Member,
            name=TEXT,
            addr=TEXT,
            status=st.sampled_from(model.MemberStatus),
            tags=st.dictionaries(TEXT, TEXT, max_size=2),
            rtt_ms=st.none() | st.floats(0, 1e6),
            status_since_ms=UINT,
            incarnation=COUNT,
            local=st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
    origins=st.lists(
        st.builds(
            model.OriginStatus,
            origin=ORIGIN,
            node_name=TEXT,
            next_sequence=UINT,
            floor_sequence=UINT,
            bytes=UINT,
            last_append_at_ms=UINT,
            local=st.booleans(),
            source=TEXT,
        ),
        max_size=2,
    ).map(tuple),
    peers=st.lists(
        st.builds(
            model.PeerStatus,
            name=TEXT,
            rpc_addr=TEXT,
            state=st.sampled_from(model.PeerState),
            error=TEXT,
            origins=st.lists(PEER_ORIGINS, max_size=2).map(tuple),
            records_copied=UINT,
            bytes_copied=UINT,
            records_dropped=UINT,
            retry_in_ms=st.none() | UINT,
        ),
        max_size=2,
    ).map(tuple),
    segments=st.lists(
        st.builds(
            model.Segment,
            base_offset=UINT,
            end_offset=UINT,
            bytes=UINT,
            record_count=UINT,
            batch_count=UINT,
            first_timestamp_ms=UINT,
            max_timestamp_ms=UINT,
            active=st.booleans(),
            index_bytes=UINT,
            index_state=st.sampled_from(model.IndexState),
        ),
        max_size=2,
    ).map(tuple),
    events=st.lists(st.builds(model.ClusterEvent, at_ms=UINT, kind=TEXT, subject=TEXT, detail=TEXT), max_size=2).map(
        tuple
    ),
    taken_at_ms=UINT,
    copies=st.builds(
        model.Copies,
        holders=st.lists(
            st.builds(
                model.CopyHolder,
                name=TEXT,
                status=st.sampled_from(model.MemberStatus),
                local=st.booleans(),
                word_ms=st.none() | UINT,
            ),
            max_size=2,
        ).map(tuple),
        origins=st.lists(
            st.builds(
                model.OriginCopies,
                origin=ORIGIN,
                node_name=TEXT,
                end_sequence=UINT,
                settled_sequence=UINT,
                least=UINT,
                lost=UINT,
                stranded=UINT,
                trimmed=UINT,
                unknown=UINT,
                holdings=st.lists(
                    st.builds(
                        model.OriginHolding,
                        holder=COUNT,
                        floor_sequence=UINT,
                        next_sequence=UINT,
                        gaps=st.lists(UINT, max_size=3).map(tuple),
                        damaged=st.lists(UINT, max_size=3).map(tuple),
                    ),
                    max_size=2,
                ).map(tuple),
                floor_sequence=UINT,
                since_ms=st.none() | UINT,
            ),
            max_size=2,
        ).map(tuple),
        counts=st.lists(st.builds(model.CopyCount, copies=UINT, records=UINT), max_size=2).map(tuple),
        lost=UINT,
        stranded=st.lists(
            st.builds(model.StrandedCopies, names=st.lists(TEXT, max_size=2).map(tuple), records=UINT), max_size=2
        ).map(tuple),
    ),
)


@given(SNAPSHOTS)
def test_a_snapshot_comes_back_as_it_was(snapshot: model.ClusterSnapshot) -> None:
    assert from_message(to_message(snapshot)) == snapshot


@settings(max_examples=20)
@given(st.lists(SNAPSHOTS, max_size=3))
def test_the_snapshots_of_a_stream_come_back_as_they_were(snapshots: list[model.ClusterSnapshot]) -> None:
    reader = SnapshotReader()
    assert [reader.read(to_message(snapshot)) for snapshot in snapshots] == snapshots


def test_what_did_not_change_in_a_stream_is_the_same_object() -> None:
    status = cluster_pb2.Status(
        origins=[cluster_pb2.OriginStatus(node_name="a"), cluster_pb2.OriginStatus(node_name="b")],
        segments=[cluster_pb2.Segment(base_offset=offset) for offset in range(3)],
    )
    reader = SnapshotReader()
    first = reader.read(status)
    status.segments[2].bytes = 7
    second = reader.read(status)
    assert [before is after for before, after in zip(first.origins, second.origins, strict=True)] == [True, True]
    same = [before is after for before, after in zip(first.segments, second.segments, strict=True)]
    assert same == [True, True, False]


@pytest.mark.parametrize("odd", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_is_none_becomes_nought(odd: float) -> None:
    origin = cluster_pb2.PeerOrigin(lag_trend=odd)
    status = cluster_pb2.Status(
        members=[cluster_pb2.Member(rtt_ms=odd)], peers=[cluster_pb2.PeerStatus(origins=[origin])]
    )
    snapshot = from_message(status)
    assert (snapshot.members[0].rtt_ms, snapshot.peers[0].origins[0].lag_trend) == (0.0, 0.0)


def test_states_of_a_newer_server_become_known_ones() -> None:
    status = cluster_pb2.Status(
        log=cluster_pb2.LogStatus(state=99, state_word="ok"),
        members=[cluster_pb2.Member(name="a", status=99)],
        peers=[cluster_pb2.PeerStatus(name="b", state=99)],
        segments=[cluster_pb2.Segment(index_state=99)],
    )

    snapshot = from_message(status)

    assert snapshot.members[0].status is model.MemberStatus.FAILED
    assert snapshot.peers[0].state is model.PeerState.STOPPED
    assert snapshot.log.state is model.LogState.UNKNOWN
    assert snapshot.segments[0].index_state is model.IndexState.UNKNOWN


def test_the_words_of_the_first_release_are_read_and_written() -> None:
    status = cluster_pb2.Status(
        log=cluster_pb2.LogStatus(state_word="read-only"),
        members=[cluster_pb2.Member(name="a", status_word="leaving")],
        peers=[cluster_pb2.PeerStatus(name="b", state_word="backing-off")],
        segments=[cluster_pb2.Segment(index_word="rebuilt")],
    )

    snapshot = from_message(status)
    written = to_message(snapshot)

    assert snapshot.members[0].status is model.MemberStatus.LEAVING
    assert snapshot.peers[0].state is model.PeerState.BACKING_OFF
    assert snapshot.log.state is model.LogState.READ_ONLY
    assert snapshot.segments[0].index_state is model.IndexState.REBUILT
    assert written.members[0].status == cluster_pb2.MEMBER_STATUS_LEAVING
    assert (written.log.state_word, written.members[0].status_word) == ("read-only", "leaving")
    assert (written.peers[0].state_word, written.segments[0].index_word) == ("backing-off", "rebuilt")


def test_a_segment_with_a_measured_nought_is_not_one_without_a_measurement() -> None:
    reader = SnapshotReader()
    first = reader.read(cluster_pb2.Status(peers=[cluster_pb2.PeerStatus(origins=[cluster_pb2.PeerOrigin()])]))
    caught_up = cluster_pb2.PeerOrigin(catch_up_ms=0)
    second = reader.read(cluster_pb2.Status(peers=[cluster_pb2.PeerStatus(origins=[caught_up])]))

    assert (first.peers[0].origins[0].catch_up_ms, second.peers[0].origins[0].catch_up_ms) == (None, 0)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (model.ClusterSnapshot, cluster_pb2.Status),
        (model.NodeStatus, cluster_pb2.NodeStatus),
        (model.LogStatus, cluster_pb2.LogStatus),
        (model.DamagedRange, cluster_pb2.DamagedRange),
        (model.Member, cluster_pb2.Member),
        (model.OriginStatus, cluster_pb2.OriginStatus),
        (model.PeerStatus, cluster_pb2.PeerStatus),
        (model.PeerOrigin, cluster_pb2.PeerOrigin),
        (model.Segment, cluster_pb2.Segment),
        (model.ClusterEvent, cluster_pb2.Event),
    ],
)
def test_a_value_and_its_message_have_the_same_fields(kind: type, message: type) -> None:
    assert {field.name for field in dataclasses.fields(kind)} == {
        field.name for field in message.DESCRIPTOR.fields if not field.GetOptions().deprecated
    }


def test_every_word_has_a_nearest_one() -> None:
    words = {
        hint
        for kind in (model.Member, model.PeerStatus, model.LogStatus, model.Segment)
        for hint in get_type_hints(kind).values()
    }

    assert NEAREST.keys() == {word for word in words if isinstance(word, type) and issubclass(word, StrEnum)}
