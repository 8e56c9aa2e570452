"""What a client sees of an agent: the values of :mod:`proglog.rpc.model`, under the name that clients import."""

from proglog.rpc.model import (
    ClusterEvent,
    ClusterSnapshot,
    DamagedRange,
    LogStatus,
    Member,
    MemberStatus,
    NodeStatus,
    OriginStatus,
    PeerOrigin,
    PeerState,
    PeerStatus,
    Segment,
    Verified,
)

__all__ = [
    "ClusterEvent",
    "ClusterSnapshot",
    "DamagedRange",
    "LogStatus",
    "Member",
    "MemberStatus",
    "NodeStatus",
    "OriginStatus",
    "PeerOrigin",
    "PeerState",
    "PeerStatus",
    "Segment",
    "Verified",
]
