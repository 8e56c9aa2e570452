"""Every metric: its name, its labels and what it means to operators.

Names follow the Prometheus conventions: a ``proglog_`` prefix, the unit in the name, ``_total`` for counters.
"""

from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """The kinds of Prometheus, by its own names."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricName:
    """One metric as it is exposed."""

    name: str
    """Prefix, subject, unit."""

    kind: MetricKind
    """How it moves."""

    meaning: str
    """The ``# HELP`` line."""

    labels: tuple[str, ...] = ()
    """The labels of its series; few values each."""


METRICS: dict[str, MetricName] = {}
"""Each metric by its name."""


def _metric(kind: MetricKind, name: str, meaning: str, *labels: str) -> MetricName:
    assert name not in METRICS, f"metric {name} is declared twice"
    METRICS[name] = MetricName(name=name, kind=kind, meaning=meaning, labels=labels)
    return METRICS[name]


_COUNTER, _GAUGE, _HISTOGRAM = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

LOG_START_OFFSET = _metric(_GAUGE, "proglog_log_start_offset", "First offset kept.")
LOG_END_OFFSET = _metric(_GAUGE, "proglog_log_end_offset", "One past the last durable offset.")
LOG_BYTES = _metric(_GAUGE, "proglog_log_bytes", "Bytes of all segments.")
LOG_SEGMENTS = _metric(_GAUGE, "proglog_log_segments", "Segments, the active one included.")
LOG_WRITABLE = _metric(
    _GAUGE, "proglog_log_writable", "1 while appends succeed; 0 on a full or read-only disk, or poisoned."
)
LOG_PROBLEMS = _metric(
    _GAUGE,
    "proglog_log_problems",
    "Problems of the log or its disk that do not block appends; status names them.",
)
LOG_DAMAGED_RANGES = _metric(_GAUGE, "proglog_log_damaged_ranges", "Ranges that cannot be read.")
DISK_FREE_BYTES = _metric(_GAUGE, "proglog_disk_free_bytes", "Bytes left on the log's device.")
DISK_TOTAL_BYTES = _metric(_GAUGE, "proglog_disk_total_bytes", "Bytes of the log's device.")
RECORDS_APPENDED = _metric(
    _COUNTER, "proglog_records_appended_total", "Records made durable: produced here and copied."
)
BYTES_APPENDED = _metric(_COUNTER, "proglog_appended_bytes_total", "Bytes of batches made durable.")
APPEND_SECONDS = _metric(
    _HISTOGRAM, "proglog_append_seconds", "From a batch's arrival at the writer to its durability."
)
FSYNC_SECONDS = _metric(_HISTOGRAM, "proglog_fsync_seconds", "Time of one fdatasync of a group of appends.")
ACK_SECONDS = _metric(_HISTOGRAM, "proglog_ack_seconds", "From an own record's durability here to its first copy.")
RECORDS_SERVED = _metric(_COUNTER, "proglog_records_served_total", "Records sent to consumers.")
REPLICATION_STREAMING = _metric(
    _GAUGE, "proglog_replication_streaming", "1 while the stream from a peer is open.", "peer"
)
REPLICATION_LAG_RECORDS = _metric(
    _GAUGE, "proglog_replication_lag_records", "Records that this node is behind a peer, all origins.", "peer"
)
REPLICATION_LAG_SECONDS = _metric(
    _GAUGE, "proglog_replication_lag_seconds", "How long this node has been behind a peer, the worst origin.", "peer"
)
ORIGIN_LAG_RECORDS = _metric(
    _GAUGE,
    "proglog_replication_origin_lag_records",
    "Records of one origin that this node is behind a peer; only where it is, the worst 200.",
    "peer",
    "origin",
    "writer",
)
ORIGIN_LAG_SECONDS = _metric(
    _GAUGE,
    "proglog_replication_origin_lag_seconds",
    "How long this node has been behind a peer in one origin; the same series.",
    "peer",
    "origin",
    "writer",
)
FOLLOWER_LAG_RECORDS = _metric(
    _GAUGE,
    "proglog_follower_lag_records",
    "This node's own records that a follower does not report as durable.",
    "follower",
)
FOLLOWER_LAG_SECONDS = _metric(
    _GAUGE, "proglog_follower_lag_seconds", "How long a follower has been behind in them.", "follower"
)
CONSUMER_LAG_RECORDS = _metric(
    _GAUGE, "proglog_consumer_lag_records", "Records that a named consumer has not had, at most.", "consumer"
)
CONSUMER_LAG_SECONDS = _metric(
    _GAUGE, "proglog_consumer_lag_seconds", "Age of the oldest of them, where it is known.", "consumer"
)
BYTES_COPIED = _metric(_COUNTER, "proglog_copied_bytes_total", "Bytes of batches copied from a peer.", "peer")
RECORDS_BY_COPIES = _metric(
    _GAUGE,
    "proglog_copies_records",
    "Records older than two seconds, by their copies on members that are alive.",
    "copies",
)
RECORDS_LOST = _metric(_GAUGE, "proglog_copies_lost_records", "Records that no member holds.")
RECORDS_STRANDED = _metric(_GAUGE, "proglog_copies_stranded_records", "Records that only members hold that are gone.")
RECORDS_IN_FLIGHT = _metric(_GAUGE, "proglog_copies_in_flight_records", "Records less than two seconds old.")
COPIES_SHORT_SECONDS = _metric(
    _GAUGE, "proglog_copies_short_seconds", "How long some record has had too few copies; 0 while none has."
)
RECORDS_COPIED = _metric(_COUNTER, "proglog_records_copied_total", "Records copied from a peer.", "peer")
MEMBERS = _metric(_GAUGE, "proglog_members", "Members of the cluster as seen here.", "status")
FINDINGS = _metric(
    _GAUGE, "proglog_findings", "Findings that need attention, as `proglog check` counts them.", "severity"
)
FINDING = _metric(_GAUGE, "proglog_finding", "1 for each finding, by rule and subject.", "rule", "subject", "severity")
READY = _metric(_GAUGE, "proglog_ready", "1 while the health service says SERVING.")
RPC_SECONDS = _metric(_HISTOGRAM, "proglog_rpc_seconds", "Time of one call, streams to their end.", "method")
RPCS = _metric(_COUNTER, "proglog_rpcs_total", "Calls ended.", "method", "code")
RPC_RECEIVED_BYTES = _metric(
    _COUNTER, "proglog_rpc_received_bytes_total", "Bytes of requests of ended calls.", "method"
)
RPC_SENT_BYTES = _metric(_COUNTER, "proglog_rpc_sent_bytes_total", "Bytes of answers of ended calls.", "method")
RPCS_OPEN = _metric(_GAUGE, "proglog_rpcs_open", "Calls and streams under way, by the action they need.", "action")
RPCS_WAITING = _metric(_GAUGE, "proglog_rpcs_waiting", "Calls that wait for room under the limit.", "action")
RPCS_OVER_LIMIT = _metric(
    _COUNTER, "proglog_rpcs_over_limit_total", "Calls refused because a limit was reached: TOO_MANY_CALLS.", "action"
)
CONNECTIONS = _metric(_GAUGE, "proglog_connections", "Connections with a call or stream under way.")
REQUEST_BYTES = _metric(_GAUGE, "proglog_request_bytes_held", "Bytes of produce requests held in memory.")
EVENTS_EMITTED = _metric(
    _COUNTER,
    "proglog_events_total",
    "Events of level warning and above, by name: reloads refused, checks failed, streams broken.",
    "event",
    "level",
)
BUILD_INFO = _metric(_GAUGE, "proglog_build_info", "1; the versions are its labels.", "version", "python", "batches")
CERTIFICATE_EXPIRY = _metric(
    _GAUGE, "proglog_certificate_expiry_timestamp_seconds", "When the server certificate expires, seconds since 1970."
)
GOSSIP_HEALTH = _metric(
    _GAUGE,
    "proglog_gossip_health_score",
    "This node's estimate of its own health: 0, healthy, to 7; it then suspects others later.",
)
GOSSIP_PROBES = _metric(
    _COUNTER,
    "proglog_gossip_probes_total",
    "Probes of members by their outcome: direct, relayed, tcp (UDP is broken), missed.",
    "outcome",
)
GOSSIP_SUSPICIONS = _metric(_COUNTER, "proglog_gossip_suspicions_total", "Members that became suspect.")
GOSSIP_REFUTATIONS = _metric(_COUNTER, "proglog_gossip_refutations_total", "Claims about this node that it refuted.")
GOSSIP_CONFLICTS = _metric(
    _COUNTER, "proglog_gossip_conflicts_total", "Claims to a member's name from another address."
)
GOSSIP_MALFORMED = _metric(_COUNTER, "proglog_gossip_malformed_total", "Malformed or forbidden messages.")
GOSSIP_UNSENT = _metric(_COUNTER, "proglog_gossip_unsent_total", "Datagrams that the kernel refused.")
GOSSIP_EXCHANGES = _metric(
    _COUNTER, "proglog_gossip_exchanges_total", "Full exchanges of states by their outcome: ok, failed.", "outcome"
)
GOSSIP_FLAPS = _metric(_COUNTER, "proglog_gossip_flaps_total", "Members that failed and came back within a minute.")
GOSSIP_USER_EVENTS = _metric(_COUNTER, "proglog_gossip_user_events_total", "User events that were news.")
GOSSIP_QUERIES = _metric(_COUNTER, "proglog_gossip_queries_total", "Queries that were news, Serf's own included.")
GOSSIP_DATAGRAMS = _metric(_COUNTER, "proglog_gossip_datagrams_total", "Datagrams: sent, received.", "direction")
GOSSIP_BYTES = _metric(
    _COUNTER, "proglog_gossip_bytes_total", "Bytes of datagrams, without headers: sent, received.", "direction"
)
GOSSIP_QUEUED = _metric(_GAUGE, "proglog_gossip_queued", "Messages queued for gossip.", "kind")
