"""What a client sees of an agent: frozen values, free of protobuf, shared by the command line and the dashboard.

Times ending in ``_at_ms`` are milliseconds since 1970 on the agent's clock; offsets and sequences are half-open.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from proglog.addr import RPC_ADDR_TAG


class MemberStatus(StrEnum):
    """A member's status, in Serf's words."""

    ALIVE = "alive"
    LEAVING = "leaving"
    LEFT = "left"
    FAILED = "failed"


class PeerState(StrEnum):
    """What the replication stream from a peer is doing."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    BACKING_OFF = "backing-off"
    STOPPED = "stopped"


class LogState(StrEnum):
    """Whether a log takes appends, and if not, why."""

    OK = "ok"
    FULL = "full"
    READ_ONLY = "read-only"
    POISONED = "poisoned"
    CLOSED = "closed"
    UNKNOWN = "unknown"
    """One that this version does not know."""


class FsyncPolicy(StrEnum):
    """When appended batches are made durable."""

    ALWAYS = "always"
    INTERVAL = "interval"
    OS = "os"
    UNKNOWN = "unknown"
    """One that this version does not know."""


class IndexState(StrEnum):
    """Of a segment's index file."""

    OK = "ok"
    REBUILT = "rebuilt"
    """From the segment, since the agent started."""
    MISSING = "missing"
    """Look-ups read more of the segment."""
    UNKNOWN = "unknown"
    """One that this version does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipProblem:
    """A reason why an agent may not be in the cluster that it is meant for."""

    key: str
    """What kind: ``alone``, ``seed/HOST:PORT``, ``name``."""
    detail: str
    """In words, to be read after the node's name."""
    critical: bool
    """Whether what is written there may be nowhere else."""
    since_ms: int = 0
    """How long it has lasted, milliseconds."""
    unready: bool = False
    """Whether the agent should get no writes meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipStatus:
    """How an agent's failure detector is; counts are since the agent started."""

    health_score: int = 0
    """0: well; each point makes it slower to accuse others, up to 7."""
    probes_direct: int = 0
    """Answered by the member itself, over UDP, in time."""
    probes_relayed: int = 0
    """Answered through others, or late."""
    probes_tcp: int = 0
    """Answered over TCP only: UDP between the two is broken."""
    probes_missed: int = 0
    """Not answered."""
    suspicions: int = 0
    """Members that became suspect."""
    refutations: int = 0
    """Times that the agent had to say that it is there."""
    conflicts: int = 0
    """Claims to a member's name from another address."""
    malformed: int = 0
    """Messages that make no sense, or are not allowed."""
    unsent: int = 0
    """Datagrams that the kernel refused."""
    queued_members: int = 0
    """Messages about members that wait to be gossiped."""
    queued_intents: int = 0
    queued_queries: int = 0
    queued_events: int = 0
    coordinate_resets: int = 0
    """Times that the network coordinate had to start over."""
    exchanges: int = 0
    """Full exchanges that the agent began or answered."""
    exchanges_failed: int = 0
    """Full exchanges that the agent began in vain."""
    flaps: int = 0
    """Members that failed and came back within a minute."""
    user_events: int = 0
    """User events that were news, the agent's own included."""
    queries: int = 0
    """Queries that were news, the agent's own included."""
    datagrams_sent: int = 0
    datagrams_received: int = 0
    bytes_sent: int = 0
    """Of those datagrams, without the headers of UDP and IP."""
    bytes_received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRange:
    """Versions that are understood, both included."""

    lowest: int
    highest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStatus:
    """Which access rules are in force."""

    generation: int
    """In force; 1: the one that the agent started with."""
    wanted: int
    """What the files hold; another one than that in force: it was refused."""
    rules: int
    """In force."""
    age_ms: int
    """For how long it has been in force, milliseconds."""
    refused: str
    """Why the wanted one is not in force; empty: it is."""
    refused_ms: int
    """For how long it has not been, milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateStatus:
    """Which set of the server's certificate, key and authorities is in use."""

    generation: int
    """In use; 1: the one that the agent started with."""
    wanted: int
    """What the files hold; another one than that in use: it was refused."""
    age_ms: int
    """For how long it has been in use, milliseconds."""
    refused: str
    """Why the wanted one is not in use; empty: it is."""
    refused_ms: int
    """For how long it has not been, milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """The agent that answered."""

    name: str
    version: str
    origin: bytes
    rpc_addr: str
    bind_addr: str
    data_dir: str
    started_at_ms: int
    tls: bool
    acl: bool
    gossip_encrypted: bool
    certificate_expires_at_ms: int | None = None
    """``None`` without TLS."""
    origin_reason: str = ""
    """Why the directory's history went on under a new origin, in words; empty: it did not, since the agent started."""
    membership_problems: tuple[MembershipProblem, ...] = ()
    gossip: GossipStatus = GossipStatus()
    policy: PolicyStatus | None = None
    """``None``: there are no access rules, or the agent does not say."""
    certificate: CertificateStatus | None = None
    """``None``: there is no TLS, or the agent does not say."""
    replication_protocol: VersionRange | None = None
    """That it speaks with its peers; ``None``: the first release, which does not say."""
    batch_format: VersionRange | None = None
    """That it reads; it writes the highest."""
    features: tuple[str, ...] = ()
    """What it can that the first release could not: :data:`proglog.wire.contract.FEATURES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedRange:
    """Offsets that cannot be read, and why."""

    start_offset: int
    end_offset: int
    detail: str
    found_at_ms: int | None = None
    """Milliseconds since 1970; ``None``: not known."""
    gap: bool = False
    """Whether the records were never here: no node that could be asked had them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedLoss:
    """A damaged range of which an operator said that nobody can give it back."""

    start_offset: int
    end_offset: int
    detail: str
    found_at_ms: int | None
    """Milliseconds since 1970; ``None``: not known."""
    accepted_by: str
    """The subject of a certificate."""
    accepted_at_ms: int
    reason: str
    gap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProblem:
    """Something wrong with the log or its disk that may leave its state ``ok``, until it has passed."""

    key: str
    """What kind: ``retention``, ``mark``, ``clock`` ..."""
    detail: str
    """In words."""
    since_ms: int
    """How long it has lasted, milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Something that an agent is doing at this moment, on its disk or with another member."""

    what: str
    """In words: ``append``, ``sync``, ``retention``, ``pull``, ``full exchange``, ``repair`` ..."""
    since_ms: int
    """How long it has been under way, milliseconds; of what repeats, how long it has not got anywhere."""
    waits_for: str = ""
    """The member that it waits for; empty: the agent's disk."""
    bound_ms: int = 0
    """How long it may take, milliseconds; 0: a second."""
    step: str = ""
    """What it is in the middle of: ``sync``, ``snapshot``; empty: something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStatus:
    """The agent's log."""

    start_offset: int
    end_offset: int
    bytes: int
    segment_count: int
    fsync: FsyncPolicy
    state: LogState
    disk_free_bytes: int
    disk_total_bytes: int
    records_appended: int
    """Since the agent started, copies included."""
    bytes_appended: int
    records_served: int
    damaged: tuple[DamagedRange, ...] = ()
    """Those that nobody has accepted."""
    accepted: tuple[AcceptedLoss, ...] = ()
    """Those that an operator said are lost for good."""
    recovery: str = ""
    """What opening the log had to repair, in words; empty: nothing."""
    state_detail: str = ""
    """Why the state is not ``ok``, in words."""
    problems: tuple[LogProblem, ...] = ()
    operations: tuple[Operation, ...] = ()
    """What is under way; at most 256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of the cluster, as the agent that answered sees it."""

    name: str
    addr: str
    """Gossip address, HOST:PORT."""
    status: MemberStatus
    tags: dict[str, str] = field(hash=False)
    rtt_ms: float | None
    """Of the last probe; ``None``: not measured."""
    status_since_ms: int
    """How long it has had this status."""
    incarnation: int
    local: bool

    @property
    def rpc_addr(self) -> str:
        """Where its gRPC server listens; empty for a member that is no proglog agent."""
        return self.tags.get(RPC_ADDR_TAG, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginStatus:
    """How much the agent has of one origin."""

    origin: bytes
    node_name: str
    next_sequence: int
    floor_sequence: int
    bytes: int
    last_append_at_ms: int
    local: bool
    source: str
    """The member it is pulled from; empty: none now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOrigin:
    """One origin on both ends of a replication stream."""

    origin: bytes
    node_name: str
    next_sequence: int
    """Durable at the agent."""
    peer_next_sequence: int
    """Durable at the peer."""
    lag_records: int
    """The agent behind the peer."""
    lag_bytes: int
    lag_ms: int
    peer_lag_records: int
    """The peer behind the agent."""
    source: bool
    """The agent pulls this origin from this peer."""
    lag_trend: float = 0.0
    """Records a second by which the lag grows, over about ten seconds; negative: catching up."""
    catch_up_ms: int | None = None
    """Until the agent has caught up, at that trend; 0: it has, ``None``: not known, or not catching up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """Replication between the agent and one peer."""

    name: str
    rpc_addr: str
    state: PeerState
    error: str
    """Why it is not streaming; empty otherwise."""
    origins: tuple[PeerOrigin, ...]
    records_copied: int
    bytes_copied: int
    records_dropped: int
    """Copies of what the agent already had."""
    retry_in_ms: int | None
    """Until it is called again; ``None``: nothing waits."""
    failing: bool = False
    """Whether its stream was opened again without having brought anything since it last broke."""
    failing_ms: int = 0
    """For how long that has been so, over all attempts."""
    failure: str = ""
    """Why it broke last, while it is failing."""
    origin_count: int = 0
    """Of all origins; :attr:`origins` has those that lag most, then those that moved last. 0: it lists all."""
    unlisted_lag_records: int = 0
    """Records that the agent lacks of origins that are not listed."""
    unlisted_lag_bytes: int = 0

    @property
    def lag_records(self) -> int:
        """Records that the peer has and the agent lacks, over all origins."""
        return sum(origin.lag_records for origin in self.origins) + self.unlisted_lag_records


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerStatus:
    """A member that is alive and should copy from the agent."""

    name: str
    connected: bool
    """Whether it has a replication stream open at the agent."""
    since_ms: int
    """For how long it has had one, or could have had one and has not."""
    lag_records: int
    """Records of the agent's own that it does not report as durable."""
    lag_ms: int
    """How long it has been behind in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment of the agent's log."""

    base_offset: int
    end_offset: int
    bytes: int
    record_count: int
    batch_count: int
    first_timestamp_ms: int
    max_timestamp_ms: int
    active: bool
    index_bytes: int
    index_state: IndexState = IndexState.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """How far a verification is."""

    bytes_done: int
    bytes_total: int
    batches: int
    records: int
    problems: tuple[DamagedRange, ...] = ()
    """All found so far."""
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEvent:
    """Something that happened, newest last in a snapshot."""

    at_ms: int
    kind: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """An event that is a condition of the agent until another one ends it."""

    kind: str
    """As of a :class:`ClusterEvent`."""
    subject: str
    detail: str
    """Of the last one."""
    since_ms: int
    """How long ago the first one was."""
    last_ms: int
    """How long ago the last one was."""
    count: int
    origin: str = ""
    """Which one it concerns, in hexadecimal digits, where a subject may have several such conditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyHolder:
    """A member that holds a log, dead or alive: a column of the picture of copies."""

    name: str
    status: MemberStatus
    local: bool
    word_ms: int | None
    """Age of its last word; 0: it can be heard now, ``None``: it has never been heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginHolding:
    """What one member holds of one origin: from the floor to the next sequence, without gaps and damage."""

    holder: int
    """Its place among the holders."""
    floor_sequence: int
    next_sequence: int
    gaps: tuple[int, ...] = ()
    """Start, end, start, end ...: gap batches stand for them."""
    damaged: tuple[int, ...] = ()
    """The same: damage hides them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginCopies:
    """An origin that not every member holds whole."""

    origin: bytes
    node_name: str
    end_sequence: int
    """One past the last that is known of."""
    settled_sequence: int
    """One past the last that is no longer in flight: two seconds old."""
    least: int
    """Copies of the record that has fewest, of those that somebody alive holds."""
    lost: int
    """Records that no member holds."""
    stranded: int
    """Records that only members hold that are gone."""
    trimmed: int
    """Records that retention has removed at some members."""
    unknown: int
    """Records that may be on a member that has never been heard."""
    holdings: tuple[OriginHolding, ...] = ()
    """Of each member that does not hold all of it; the others hold it from the floor on."""
    floor_sequence: int = 1
    """The lowest sequence that any member keeps."""
    since_ms: int | None = None
    """How long some record of it has had too few copies; ``None``: none has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyCount:
    """How many records have so many copies."""

    copies: int
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StrandedCopies:
    """Records that only these members hold, and they are gone."""

    names: tuple[str, ...]
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """How many copies there are of every record, from what each member says it holds."""

    holders: tuple[CopyHolder, ...] = ()
    """Empty: the agent does not say."""
    origins: tuple[OriginCopies, ...] = ()
    """Those that not every member holds whole, the worst first; at most 200."""
    origin_count: int = 0
    """Origins that have records."""
    whole_count: int = 0
    """Of these, the ones that every member holds whole."""
    in_flight: int = 0
    """Records that are less than two seconds old."""
    counts: tuple[CopyCount, ...] = ()
    """Of the others, by copies on members that are alive; ascending."""
    trimmed: int = 0
    """Of the others, those that retention has removed at some members and not at all."""
    lost: int = 0
    """Records that no member holds."""
    unknown: int = 0
    """Records that may be on a member that has never been heard."""
    stranded: tuple[StrandedCopies, ...] = ()
    """Records that only members hold that are gone; at most 16 sets of members."""
    since_ms: int | None = None
    """How long some record has had too few copies; ``None``: none has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerStatus:
    """How far a named consumer is, as an agent's log has it."""

    name: str
    epoch: int
    """Grows when it is started over."""
    committed_at_ms: int
    records_behind: int
    """Records of that log that it has not had; far from the end, at most that many."""
    consumed: int
    """Its position, all origins added up: grows as it consumes."""
    lag_ms: int | None = None
    """How long the oldest of them has been there; ``None``: there is none, or it is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStatus:
    """How long something took in the last ten seconds; microseconds, at most a fifth too high."""

    what: str
    """``append``: from a batch's arrival to its durability; ``sync``: one fdatasync; ``ack``: to its copies."""
    count: int
    median_us: int
    p99_us: int
    max_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSnapshot:
    """Everything one agent says about itself and its cluster at one moment."""

    node: NodeStatus
    log: LogStatus
    members: tuple[Member, ...]
    origins: tuple[OriginStatus, ...]
    peers: tuple[PeerStatus, ...]
    segments: tuple[Segment, ...]
    events: tuple[ClusterEvent, ...]
    taken_at_ms: int
    followers: tuple[FollowerStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()
    copies: Copies = Copies()
    consumers: tuple[ConsumerStatus, ...] = ()
    """Named positions, by name."""
    latencies: tuple[LatencyStatus, ...] = ()
    uptime_ms: int | None = None
    """How long the agent has run, milliseconds, by a clock that is never set; ``None``: it does not say."""
    origin_count: int = 0
    """Of all origins; :attr:`origins` has the agent's own and those that moved last. 0: it lists all."""

    @property
    def unlisted_origins(self) -> int:
        """Number of origins that are not in :attr:`origins`."""
        return max(0, self.origin_count - len(self.origins))

    @property
    def up_ms(self) -> int:
        """How long the agent has run, milliseconds: by its wall clock if it does not say."""
        by_wall_clock = max(0, self.taken_at_ms - self.node.started_at_ms)
        return by_wall_clock if self.uptime_ms is None else self.uptime_ms
