"""Every event and every metric: its name, and what it means to who operates an agent.

Events are snake_case and say what happened; who and how much stand beside them as keys. Metrics follow the Prometheus
conventions: a ``proglog_`` prefix, the unit in the name, ``_total`` for what only grows. A test reads
the source: what is logged under a name that is not here fails it.
"""

from dataclasses import dataclass
from enum import StrEnum

EVENTS: dict[str, str] = {}
"""Meaning by event name."""


def _event(name: str, meaning: str) -> str:
    assert name not in EVENTS, f"event {name} is declared twice"
    EVENTS[name] = meaning
    return name


AGENT_STARTED = _event("agent_started", "The agent serves and gossips. Keys: rpc, gossip, metrics.")
AGENT_STOPPING = _event("agent_stopping", "The agent was told to stop, or a task of it failed.")
AGENT_STOPPED = _event("agent_stopped", "All parts of the agent have ended.")
AGENT_STOP_STEP_FAILED = _event(
    "agent_stop_step_failed", "A part did not end cleanly; the rest went on. Keys: step, error."
)
TASK_FAILED = _event(
    "task_failed", "A task met a bug; the agent shuts down with exit code 70. Keys: task, error, exception."
)
LEAVE_TIMED_OUT = _event("leave_timed_out", "The others were not told in time; they will see a failure. Keys: seconds.")

LOG_OPENED = _event("log_opened", "The log is ready. Keys: end_offset.")
LOG_RECOVERED = _event("log_recovered", "A torn tail was cut, or damage was fenced off, at start. Keys: detail.")
LOG_FULL = _event("log_full", "No space left: reads go on, appends are refused until space returns.")
LOG_RESUMED = _event("log_resumed", "Space returned: appends go on.")
LOG_POISONED = _event("log_poisoned", "A write or sync failed: nothing is acknowledged until a restart.")
LOG_DAMAGED = _event(
    "log_damaged", "A stored range no longer checks out: it is refilled from a peer that has it. Keys: detail."
)
RANGE_REFILLED = _event("range_refilled", "Damaged offsets are whole again, byte for byte. Keys: peer, detail.")
RANGE_REFILL_FAILED = _event(
    "range_refill_failed",
    "A peer could not give what damage took; others are asked. Keys: peer, origin, start, end, error.",
)
SEGMENT_ROLLED = _event("segment_rolled", "A segment was sealed, and a new one began. Keys: detail.")
SEGMENTS_REMOVED = _event("segments_removed", "Retention removed the oldest segments. Keys: detail.")

ORIGIN_STARTED = _event("origin_started", "This data directory began a new history. Keys: detail.")
REPLICATION_STARTED = _event("replication_started", "Copying from a peer began. Keys: peer, addr.")
REPLICATION_STOPPED = _event(
    "replication_stopped", "Copying from a peer ended: it left, or this agent stops. Keys: peer."
)
REPLICATION_ERROR = _event(
    "replication_error", "Copying from a peer failed; it is tried again. Keys: peer, error, retry_in."
)
REPLICATION_RESUMED = _event("replication_resumed", "Copying from a peer goes on after errors. Keys: peer.")

REPLICATION_SOURCE_SET_ASIDE = _event(
    "replication_source_set_aside", "A peer cannot give an origin now; another is asked. Keys: peer, origin, detail."
)
REPLICATION_FORKED = _event(
    "replication_forked", "Two histories under one origin: it is taken no further. Keys: peer, origin, detail."
)
REPLICATION_GAP = _event(
    "replication_gap",
    "Sequences that nobody could give were passed over, and that was written down. Keys: peer, origin, detail.",
)
FIRST_CONTACT_MISSED = _event(
    "first_contact_missed",
    "Not every known member answered at the start: producers go on, and a backup may be found out late.",
)
OWN_ORIGIN_AHEAD = _event(
    "own_origin_ahead",
    "A peer knows more of this directory than it does: rolled back or cloned. Keys: peer, origin, detail.",
)
ORIGIN_CLONED = _event("origin_cloned", "Another node lives under this directory's origin. Keys: peer, origin, detail.")

MEMBER_JOIN = _event("member_join", "A member joined, or came back. Keys: member, status.")
MEMBER_LEAVE = _event("member_leave", "A member left on purpose. Keys: member, status.")
MEMBER_FAILED = _event("member_failed", "A member stopped answering. Keys: member, status.")
MEMBER_UPDATE = _event("member_update", "A member changed its tags. Keys: member, status.")
MEMBER_REAP = _event("member_reap", "A member was gone for so long that it was forgotten. Keys: member, status.")

MEMBER_NAME_CONFLICT = _event(
    "member_name_conflict",
    "Two members claim one name; local says that it is this one's. Keys: name, claimed_by, local.",
)
MEMBER_HANDLER_FAILED = _event(
    "member_handler_failed", "What follows from a change of members could not be done. Keys: member, error."
)
KNOWN_MEMBERS_LOST = _event(
    "known_members_lost", "The file of members' addresses could not be read or saved; seeds are needed. Keys: error."
)
JOIN_FAILED = _event("join_failed", "No address to join by has answered; it is tried again. Keys: addrs, error.")
KEYRING_CHANGED = _event("keyring_changed", "The gossip keys of the cluster were changed. Keys: operation.")
GOSSIP_STEP_FAILED = _event("gossip_step_failed", "A step of the gossip met a bug; the membership went on.")
GOSSIP_IGNORED = _event("gossip_ignored", "A gossip message was not understood or not allowed. Keys: reason, source.")

RPC_FINISHED = _event("rpc_finished", "One call ended. Keys: method, subject, peer, code, elapsed_ms.")
RPC_FAILED = _event(
    "rpc_failed", "A call met a bug; its caller was told the number. Keys: as rpc_finished, and number."
)

POLICY_RELOADED = _event("policy_reloaded", "Changed access rules are in force. Keys: rules.")
POLICY_REJECTED = _event("policy_rejected", "Changed access rules were refused; the last good ones stay. Keys: error.")
CERTIFICATE_RELOADED = _event(
    "certificate_reloaded", "New connections see a new server certificate. Keys: subject, not_after."
)
CERTIFICATE_EXPIRES = _event(
    "certificate_expires", "The server certificate is good for two weeks at most. Keys: not_after, days."
)
CERTIFICATE_REJECTED = _event(
    "certificate_rejected", "Changed TLS files were refused; the last good ones stay. Keys: error."
)


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
    """What tells its series apart; few values each."""


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
LOG_WRITABLE = _metric(_GAUGE, "proglog_log_writable", "1 while appends succeed; 0 on a full disk, or poisoned.")
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
RPC_SECONDS = _metric(_HISTOGRAM, "proglog_rpc_seconds", "Time of one call, streams to their end.", "method")
RPCS = _metric(_COUNTER, "proglog_rpcs_total", "Calls ended.", "method", "code")
CERTIFICATE_EXPIRY = _metric(
    _GAUGE, "proglog_certificate_expiry_timestamp_seconds", "When the server certificate expires, seconds since 1970."
)
