"""What a membership needs to know."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proglog.gossip.address_book import KnownAddress
from proglog.gossip.config import GossipConfig
from proglog.gossip.keyring import Keyring
from proglog.gossip.lamport import ClockTimes
from proglog.gossip.member_rules import MemberRules


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipConfig:
    """One member."""

    node_name: str
    """Unique in the cluster."""
    bind_addr: str
    """HOST:PORT of gossip."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """``rpc_addr``, and what else others should know; at most 512 bytes."""
    advertise_addr: str = ""
    """HOST[:PORT] of gossip as others reach it; empty: where it is bound. Port 0: the one that is bound."""
    start_join_addrs: tuple[str, ...] = ()
    """Members to join through; one that answers is enough."""
    remembered: tuple[KnownAddress, ...] = ()
    """Members' addresses before the restart."""
    keyring: Keyring | None = None
    """Seals all gossip; ``None``: plain text."""
    label: bytes = b""
    """The cluster's, on all gossip; empty: none."""
    rules: MemberRules = MemberRules()  # noqa: RUF009 - immutable
    """Who may be a member."""
    gossip: GossipConfig = field(default_factory=GossipConfig.lan)
    """Timing."""
    clocks: ClockTimes = field(default_factory=ClockTimes)
    """Of the last life."""
    replay_events: bool = False
    """Also receive user events from before this node joined."""
