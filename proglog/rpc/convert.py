"""Between the shared values of :mod:`proglog.rpc.model` and their protobuf messages, both ways.

What comes from a server is as hostile as any bytes: an unknown word becomes the nearest known one, never an error.
"""

from proglog.api.v1 import cluster_pb2 as pb
from proglog.rpc import model


def to_message(snapshot: model.ClusterSnapshot) -> pb.Status:
    """Return the message of a snapshot."""
    node, log = snapshot.node, snapshot.log
    return pb.Status(
        node=pb.NodeStatus(
            name=node.name,
            version=node.version,
            origin=node.origin,
            rpc_addr=node.rpc_addr,
            bind_addr=node.bind_addr,
            data_dir=node.data_dir,
            started_at_ms=node.started_at_ms,
            tls=node.tls,
            acl=node.acl,
            gossip_encrypted=node.gossip_encrypted,
            certificate_expires_at_ms=node.certificate_expires_at_ms,
        ),
        log=pb.LogStatus(
            start_offset=log.start_offset,
            end_offset=log.end_offset,
            bytes=log.bytes,
            segment_count=log.segment_count,
            fsync=log.fsync,
            state=log.state,
            disk_free_bytes=log.disk_free_bytes,
            disk_total_bytes=log.disk_total_bytes,
            records_appended=log.records_appended,
            bytes_appended=log.bytes_appended,
            records_served=log.records_served,
            damaged=[
                pb.DamagedRange(start_offset=lost.start_offset, end_offset=lost.end_offset, detail=lost.detail)
                for lost in log.damaged
            ],
            recovery=log.recovery,
        ),
        members=[_member_message(member) for member in snapshot.members],
        origins=[_origin_message(origin) for origin in snapshot.origins],
        peers=[_peer_message(peer) for peer in snapshot.peers],
        segments=[_segment_message(segment) for segment in snapshot.segments],
        events=[
            pb.Event(at_ms=event.at_ms, kind=event.kind, subject=event.subject, detail=event.detail)
            for event in snapshot.events
        ],
        taken_at_ms=snapshot.taken_at_ms,
    )


def from_message(status: pb.Status) -> model.ClusterSnapshot:
    """Return the snapshot of a message."""
    node, log = status.node, status.log
    return model.ClusterSnapshot(
        node=model.NodeStatus(
            name=node.name,
            version=node.version,
            origin=node.origin,
            rpc_addr=node.rpc_addr,
            bind_addr=node.bind_addr,
            data_dir=node.data_dir,
            started_at_ms=node.started_at_ms,
            tls=node.tls,
            acl=node.acl,
            gossip_encrypted=node.gossip_encrypted,
            certificate_expires_at_ms=node.certificate_expires_at_ms,
        ),
        log=model.LogStatus(
            start_offset=log.start_offset,
            end_offset=log.end_offset,
            bytes=log.bytes,
            segment_count=log.segment_count,
            fsync=log.fsync,
            state=log.state,
            disk_free_bytes=log.disk_free_bytes,
            disk_total_bytes=log.disk_total_bytes,
            records_appended=log.records_appended,
            bytes_appended=log.bytes_appended,
            records_served=log.records_served,
            damaged=tuple(
                model.DamagedRange(start_offset=lost.start_offset, end_offset=lost.end_offset, detail=lost.detail)
                for lost in log.damaged
            ),
            recovery=log.recovery,
        ),
        members=tuple(_member(member) for member in status.members),
        origins=tuple(_origin(origin) for origin in status.origins),
        peers=tuple(_peer(peer) for peer in status.peers),
        segments=tuple(_segment(segment) for segment in status.segments),
        events=tuple(
            model.ClusterEvent(at_ms=event.at_ms, kind=event.kind, subject=event.subject, detail=event.detail)
            for event in status.events
        ),
        taken_at_ms=status.taken_at_ms,
    )


def _member_message(member: model.Member) -> pb.Member:
    return pb.Member(
        name=member.name,
        addr=member.addr,
        status=member.status.value,
        tags=member.tags,
        rtt_ms=member.rtt_ms,
        status_since_ms=member.status_since_ms,
        incarnation=member.incarnation,
        local=member.local,
    )


def _member(member: pb.Member) -> model.Member:
    known = {status.value for status in model.MemberStatus}
    return model.Member(
        name=member.name,
        addr=member.addr,
        status=model.MemberStatus(member.status if member.status in known else "failed"),
        tags=dict(member.tags),
        rtt_ms=member.rtt_ms,
        status_since_ms=member.status_since_ms,
        incarnation=member.incarnation,
        local=member.local,
    )


def _origin_message(origin: model.OriginStatus) -> pb.OriginStatus:
    return pb.OriginStatus(
        origin=origin.origin,
        node_name=origin.node_name,
        next_sequence=origin.next_sequence,
        floor_sequence=origin.floor_sequence,
        bytes=origin.bytes,
        last_append_ms=origin.last_append_at_ms,
        local=origin.local,
        source=origin.source,
    )


def _origin(origin: pb.OriginStatus) -> model.OriginStatus:
    return model.OriginStatus(
        origin=origin.origin,
        node_name=origin.node_name,
        next_sequence=origin.next_sequence,
        floor_sequence=origin.floor_sequence,
        bytes=origin.bytes,
        last_append_at_ms=origin.last_append_ms,
        local=origin.local,
        source=origin.source,
    )


def _peer_message(peer: model.PeerStatus) -> pb.PeerStatus:
    return pb.PeerStatus(
        name=peer.name,
        rpc_addr=peer.rpc_addr,
        state=peer.state.value,
        error=peer.error,
        origins=[
            pb.PeerOrigin(
                origin=origin.origin,
                node_name=origin.node_name,
                next_sequence=origin.next_sequence,
                peer_next_sequence=origin.peer_next_sequence,
                lag_records=origin.lag_records,
                lag_bytes=origin.lag_bytes,
                lag_ms=origin.lag_ms,
                peer_lag_records=origin.peer_lag_records,
                source=origin.source,
            )
            for origin in peer.origins
        ],
        records_copied=peer.records_copied,
        bytes_copied=peer.bytes_copied,
        records_dropped=peer.records_dropped,
        retry_in_ms=peer.retry_in_ms,
    )


def _peer(peer: pb.PeerStatus) -> model.PeerStatus:
    known = {state.value for state in model.PeerState}
    return model.PeerStatus(
        name=peer.name,
        rpc_addr=peer.rpc_addr,
        state=model.PeerState(peer.state if peer.state in known else "stopped"),
        error=peer.error,
        origins=tuple(
            model.PeerOrigin(
                origin=origin.origin,
                node_name=origin.node_name,
                next_sequence=origin.next_sequence,
                peer_next_sequence=origin.peer_next_sequence,
                lag_records=origin.lag_records,
                lag_bytes=origin.lag_bytes,
                lag_ms=origin.lag_ms,
                peer_lag_records=origin.peer_lag_records,
                source=origin.source,
            )
            for origin in peer.origins
        ),
        records_copied=peer.records_copied,
        bytes_copied=peer.bytes_copied,
        records_dropped=peer.records_dropped,
        retry_in_ms=peer.retry_in_ms,
    )


def _segment_message(segment: model.Segment) -> pb.Segment:
    return pb.Segment(
        base_offset=segment.base_offset,
        end_offset=segment.end_offset,
        bytes=segment.bytes,
        record_count=segment.record_count,
        batch_count=segment.batch_count,
        first_timestamp_ms=segment.first_timestamp_ms,
        max_timestamp_ms=segment.max_timestamp_ms,
        active=segment.active,
        index=segment.index,
        index_bytes=segment.index_bytes,
    )


def _segment(segment: pb.Segment) -> model.Segment:
    return model.Segment(
        base_offset=segment.base_offset,
        end_offset=segment.end_offset,
        bytes=segment.bytes,
        record_count=segment.record_count,
        batch_count=segment.batch_count,
        first_timestamp_ms=segment.first_timestamp_ms,
        max_timestamp_ms=segment.max_timestamp_ms,
        active=segment.active,
        index=segment.index,
        index_bytes=segment.index_bytes,
    )
