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
RECORDS_COPIED = _metric(_COUNTER, "proglog_records_copied_total", "Records copied from a peer.", "peer")
MEMBERS = _metric(_GAUGE, "proglog_members", "Members of the cluster as seen here.", "status")
FINDINGS = _metric(
    _GAUGE, "proglog_findings", "Findings that need attention, as `proglog check` counts them.", "severity"
)
FINDING = _metric(_GAUGE, "proglog_finding", "1 for each finding, by rule and subject.", "rule", "subject", "severity")
READY = _metric(_GAUGE, "proglog_ready", "1 while the health service says SERVING.")
RPC_SECONDS = _metric(_HISTOGRAM, "proglog_rpc_seconds", "Time of one call, streams to their end.", "method")
RPCS = _metric(_COUNTER, "proglog_rpcs_total", "Calls ended.", "method", "code")
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
GOSSIP_QUEUED = _metric(_GAUGE, "proglog_gossip_queued", "Messages queued for gossip.", "kind")
