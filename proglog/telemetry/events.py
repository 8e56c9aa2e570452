"""Every event of an agent: its name, its level, what it says and what it means, in one place.

An event is one line of telemetry; those with words are also entries of the status and the dashboard, under the same
name with hyphens. ``docs/reference/events.md`` is made from this table. Metrics are in
:mod:`proglog.telemetry.metric_names`.
"""

from proglog.telemetry.emit import EventKind, Weight

EVENTS: dict[str, EventKind] = {}
"""Each kind by its name."""

_LEVELS = {Weight.GOOD: "info", Weight.NEWS: "info", Weight.WARN: "warning", Weight.BAD: "error"}


def _event(
    name: str,
    weight: Weight,
    meaning: str,
    *,
    level: str = "",
    words: str = "",
    subject: str = "",
    detail: str = "",
    keys: tuple[str, ...] = (),
    ended_by: tuple[str, ...] = (),
) -> EventKind:
    assert name not in EVENTS, f"event {name} is declared twice"
    EVENTS[name] = EventKind(
        name=name,
        level=level or _LEVELS[weight],
        meaning=meaning,
        subject=subject,
        detail=detail,
        keys=keys,
        words=words,
        weight=weight,
        ended_by=ended_by,
    )
    return EVENTS[name]


_GOOD, _NEWS, _WARN, _BAD = Weight

AGENT_STARTED = _event("agent_started", _NEWS, "The agent serves and gossips.", keys=("rpc", "gossip", "metrics"))
AGENT_STOPPING = _event("agent_stopping", _NEWS, "The agent received a stop signal, or one of its tasks failed.")
AGENT_STOPPED = _event("agent_stopped", _NEWS, "All parts of the agent have ended.")
AGENT_STOP_STEP_FAILED = _event(
    "agent_stop_step_failed",
    _WARN,
    "A part did not end cleanly; the others were still stopped.",
    subject="step",
    detail="error",
)
TASK_FAILED = _event(
    "task_failed",
    _BAD,
    "A task met a bug; the agent shuts down with exit code 70.",
    subject="task",
    detail="error",
    keys=("exception",),
)
LEAVE_TIMED_OUT = _event(
    "leave_timed_out",
    _WARN,
    "The other members did not hear of the leave in time; they report a failure.",
    keys=("seconds",),
)

LOG_OPENED = _event("log_opened", _NEWS, "The log is ready.", words="log opened", detail="detail", keys=("end_offset",))
LOG_RECOVERED = _event(
    "log_recovered",
    _WARN,
    "At the start, a torn tail was cut or a damaged range set aside.",
    words="log repaired",
    detail="detail",
)
LOG_FULL = _event(
    "log_full",
    _BAD,
    "No room is left: reads continue, appends are refused until there is some.",
    words="disk full",
    detail="detail",
    ended_by=("log_resumed", "log_opened"),
)
LOG_READ_ONLY = _event(
    "log_read_only",
    _BAD,
    "The file system takes no writes: reads continue, appends are refused until it does.",
    words="disk read-only",
    detail="detail",
    ended_by=("log_resumed", "log_opened"),
)
LOG_RESUMED = _event("log_resumed", _GOOD, "The disk takes writes again: appends resumed.", words="appends resumed")
LOG_POISONED = _event(
    "log_poisoned",
    _BAD,
    "A write or sync failed, or the directory is gone: nothing is acknowledged until a restart.",
    words="log poisoned",
    detail="detail",
)
LOG_PROBLEM = _event(
    "log_problem",
    _WARN,
    "A problem of the log or its disk that does not block appends; the failed task is retried.",
    words="log problem",
    detail="detail",
    ended_by=("log_problem_passed", "log_opened"),
)
LOG_PROBLEM_PASSED = _event(
    "log_problem_passed", _GOOD, "A problem of the log is over.", words="problem passed", detail="detail"
)
LOG_DAMAGED = _event(
    "log_damaged",
    _BAD,
    "A stored range fails its checksums: it is refilled from a peer that has it.",
    words="range quarantined",
    detail="detail",
)
RANGE_REFILLED = _event(
    "range_refilled",
    _GOOD,
    "Damaged offsets are whole again, byte for byte.",
    words="range refilled",
    subject="peer",
    detail="detail",
)
RANGE_REFILL_FAILED = _event(
    "range_refill_failed",
    _WARN,
    "A peer could not supply records lost to damage; others are tried.",
    subject="peer",
    detail="error",
    keys=("origin", "start", "end"),
)
DAMAGE_UNSEEN = _event(
    "damage_unseen",
    _WARN,
    "The records lost to damage cannot be determined now; this is retried.",
    words="damage unreadable",
    detail="error",
)
SEGMENT_ROLLED = _event(
    "segment_rolled", _NEWS, "A segment was sealed, and a new one began.", words="segment sealed", detail="detail"
)
SEGMENTS_REMOVED = _event(
    "segments_removed", _NEWS, "Retention removed the oldest segments.", words="segments removed", detail="detail"
)

ORIGIN_STARTED = _event(
    "origin_started", _NEWS, "This data directory began a new history.", words="new history", detail="detail"
)
OWN_ORIGIN_AHEAD = _event(
    "own_origin_ahead",
    _BAD,
    "A peer has more of this node's origin than this node: its directory was rolled back or cloned.",
    words="peers know more",
    subject="peer",
    detail="detail",
    keys=("origin",),
)
ORIGIN_CLONED = _event(
    "origin_cloned",
    _BAD,
    "Another node writes under this directory's origin.",
    words="directory cloned",
    subject="peer",
    detail="detail",
    keys=("origin",),
)
PEER_CHECK_INCOMPLETE = _event(
    "peer_check_incomplete",
    _WARN,
    "Not every known member answered at the start: producers are admitted, and a restored backup may be found late.",
    words="some not heard",
)

REPLICATION_STARTED = _event(
    "replication_started", _NEWS, "Copying from a peer began.", words="copying began", subject="peer", detail="addr"
)
REPLICATION_STOPPED = _event(
    "replication_stopped",
    _NEWS,
    "Copying from a peer ended: it left, or this agent stops.",
    words="copying ended",
    subject="peer",
)
REPLICATION_ERROR = _event(
    "replication_error",
    _WARN,
    "Copying from a peer failed; it is retried.",
    words="copying failed",
    subject="peer",
    detail="error",
    keys=("retry_in",),
    ended_by=("replication_resumed", "replication_started", "replication_stopped", "replication_error"),
)
REPLICATION_RESUMED = _event(
    "replication_resumed",
    _GOOD,
    "Copying from a peer works again after errors.",
    words="copying resumed",
    subject="peer",
    detail="addr",
)
REPLICATION_SOURCE_SET_ASIDE = _event(
    "replication_source_set_aside",
    _WARN,
    "A peer cannot supply an origin now; another one is tried.",
    words="another source",
    subject="peer",
    detail="detail",
    keys=("origin",),
)
REPLICATION_FORKED = _event(
    "replication_forked",
    _BAD,
    "Two histories exist under one origin: no more of it is copied.",
    words="history forked",
    subject="peer",
    detail="detail",
    keys=("origin",),
)
REPLICATION_TRIMMED = _event(
    "replication_trimmed",
    _NEWS,
    "Sequences that retention had removed on every reachable node were skipped.",
    words="began after a gap",
    subject="peer",
    detail="detail",
    keys=("origin",),
)
REPLICATION_WAITS = _event(
    "replication_waits",
    _WARN,
    "Replication of an origin waits for records that no reachable node holds: an absent member may hold them.",
    words="waits for a member",
    subject="peer",
    detail="detail",
    keys=("origin",),
    ended_by=("replication_wait_over",),
)
REPLICATION_WAIT_OVER = _event(
    "replication_wait_over",
    _GOOD,
    "Replication no longer waits for records that only this member may hold.",
    words="waits no more",
    subject="peer",
    detail="detail",
    keys=("origin",),
)
REPLICATION_GAP = _event(
    "replication_gap",
    _BAD,
    "Sequences that no node could supply were skipped, and the gap was recorded in the log.",
    words="gap recorded",
    subject="peer",
    detail="detail",
    keys=("origin",),
)

MEMBER_JOIN = _event(
    "member_join",
    _GOOD,
    "A member joined or came back.",
    words="member joined",
    subject="member",
    keys=("status",),
)
MEMBER_LEAVE = _event(
    "member_leave",
    _WARN,
    "A member left gracefully.",
    level="info",
    words="member left",
    subject="member",
    keys=("status",),
    ended_by=("member_join", "member_reap"),
)
MEMBER_FAILED = _event(
    "member_failed",
    _BAD,
    "A member stopped answering.",
    level="info",
    words="member failed",
    subject="member",
    keys=("status",),
    ended_by=("member_join", "member_leave", "member_reap"),
)
MEMBER_SUSPECTED = _event(
    "member_suspected",
    _NEWS,
    "A member did not answer a probe, and has some seconds to refute the suspicion.",
    words="member suspected",
    subject="member",
    detail="accuser",
)
SUSPICION_REFUTED = _event(
    "suspicion_refuted",
    _NEWS,
    "This node refuted a claim that it is suspect, gone or changed: normal at startup, or a sign of packet loss.",
    words="suspicion refuted",
    keys=("incarnation",),
)
MEMBER_UPDATE = _event(
    "member_update", _NEWS, "A member changed its tags.", words="tags changed", subject="member", keys=("status",)
)
MEMBER_REAP = _event(
    "member_reap",
    _NEWS,
    "A member was gone for so long that it was reaped.",
    words="member forgotten",
    subject="member",
    keys=("status",),
)
MEMBER_NAME_CONFLICT = _event(
    "member_name_conflict",
    _BAD,
    "Two members claim one name; local: it is this node's.",
    words="two with one name",
    subject="name",
    detail="claimed_by",
    keys=("local",),
)
NAME_CONTESTED = _event(
    "name_contested",
    _BAD,
    "Another node has this node's name; nothing is acknowledged until the others' vote is known.",
    words="name contested",
    detail="claimed_by",
)
NAME_HELD = _event(
    "name_held",
    _GOOD,
    "The vote on this node's name went to this node.",
    words="name held",
    detail="votes",
)
NAME_LOST = _event(
    "name_lost",
    _BAD,
    "The vote on this node's name went to another node; the agent shuts down with exit code 7.",
    words="name lost",
    detail="claimed_by",
    keys=("votes",),
)
MEMBER_HANDLER_FAILED = _event(
    "member_handler_failed",
    _BAD,
    "Reacting to a change of members met a bug.",
    subject="member",
    keys=("exception",),
)
KNOWN_MEMBERS_LOST = _event(
    "known_members_lost",
    _WARN,
    "The file of members' addresses could not be read or saved; the next start needs seeds.",
    detail="error",
)
CONDITIONS_LOST = _event(
    "conditions_lost",
    _WARN,
    "The file of forks and gaps could not be read or saved; saving is tried again.",
    detail="error",
)
JOIN_FAILED = _event(
    "join_failed",
    _WARN,
    "A seed address has not answered, and this node has no other members; it is retried.",
    words="no seed answers",
    detail="error",
    keys=("addrs",),
)
JOIN_ATTEMPT_FAILED = _event(
    "join_attempt_failed",
    _NEWS,
    "One seed address did not answer.",
    level="debug",
    detail="error",
    keys=("addr",),
)
SERF_RPC_OPENED = _event(
    "serf_rpc_opened", _NEWS, "The stock serf command line is answered at this address.", detail="addr"
)
KEYRING_LOST = _event(
    "keyring_lost",
    _WARN,
    "The file of changed gossip keys could not be read or saved; the next start may have old keys.",
    words="keys not kept",
    detail="error",
)
USER_EVENT = _event(
    "user_event",
    _NEWS,
    "A user event was broadcast to the whole cluster.",
    level="debug",
    words="user event",
    subject="name",
    detail="payload",
    keys=("ltime",),
)
EVENT_HANDLER_FAILED = _event(
    "event_handler_failed",
    _WARN,
    "A script of --event-handler failed, took too long, or could not follow.",
    words="handler failed",
    subject="script",
    detail="error",
)
KEYRING_CHANGED = _event(
    "keyring_changed",
    _NEWS,
    "The gossip keys of the cluster were changed.",
    words="gossip keys changed",
    detail="operation",
)
GOSSIP_STEP_FAILED = _event(
    "gossip_step_failed", _BAD, "A step of the gossip met a bug; membership continued.", keys=("exception",)
)
GOSSIP_MALFORMED = _event(
    "gossip_malformed",
    _WARN,
    "The gossip port received malformed or forbidden traffic; at most one line a minute, messages counts all since.",
    words="malformed gossip",
    detail="reason",
    keys=("source", "messages"),
)
GOSSIP_IGNORED = _event(
    "gossip_ignored",
    _NEWS,
    "A gossip operation failed in a way that the protocol tolerates.",
    level="debug",
    detail="reason",
    keys=("source",),
)

TELEMETRY_DROPPED = _event(
    "telemetry_dropped",
    _WARN,
    "Lines were dropped because stderr was not read or refused them; it takes lines again.",
    keys=("lines",),
)

RPC_FINISHED = _event(
    "rpc_finished",
    _NEWS,
    "A call succeeded, or its caller ended it.",
    level="debug",
    keys=("method", "subject", "peer", "code", "elapsed_ms"),
)
RPC_REFUSED = _event(
    "rpc_refused",
    _NEWS,
    "A call ended with an error that its caller received.",
    detail="error",
    keys=("method", "subject", "peer", "code", "elapsed_ms"),
)
RPC_FAILED = _event(
    "rpc_failed",
    _BAD,
    "A call met a bug; its caller got the number.",
    keys=("method", "subject", "peer", "code", "elapsed_ms", "number", "exception"),
)

POLICY_RELOADED = _event(
    "policy_reloaded", _NEWS, "Changed access rules are in force.", words="rules changed", detail="detail"
)
POLICY_REJECTED = _event(
    "policy_rejected",
    _BAD,
    "Changed access rules were refused; the last good ones stay.",
    words="rules refused",
    detail="error",
    ended_by=("policy_reloaded",),
)
CERTIFICATE_RELOADED = _event(
    "certificate_reloaded",
    _GOOD,
    "New connections see a new server certificate.",
    words="new certificate",
    detail="detail",
)
RETENTION_NEAR = _event(
    "retention_near",
    _WARN,
    "A member lacks records of this node that retention is about to remove.",
    words="retention is near",
    subject="member",
    detail="detail",
    ended_by=("retention_clear",),
)
RETENTION_CLEAR = _event(
    "retention_clear",
    _GOOD,
    "That member now has the records that retention is about to remove, or they are gone.",
    words="retention is clear",
    subject="member",
)
CERTIFICATE_AGING = _event(
    "certificate_aging",
    _WARN,
    "The certificate shown to peers, or the last authority of a side, expires within two weeks.",
    words="certificate ages",
    subject="certificate",
    detail="detail",
    ended_by=("certificate_fresh", "certificate_ended"),
)
CERTIFICATE_ENDED = _event(
    "certificate_ended",
    _BAD,
    "The certificate shown to peers, or the last authority of a side, has expired or cannot be read.",
    words="certificate ended",
    subject="certificate",
    detail="detail",
    ended_by=("certificate_fresh", "certificate_aging"),
)
CERTIFICATE_FRESH = _event(
    "certificate_fresh",
    _GOOD,
    "An expired or expiring certificate or authority was renewed.",
    words="certificate renewed",
    subject="certificate",
    detail="detail",
)
CLOCK_JUMPED = _event(
    "clock_jumped",
    _WARN,
    "This machine's wall clock was set: it jumped by more than five seconds against elapsed time.",
    words="clock jumped",
    detail="detail",
)
CERTIFICATE_EXPIRES = _event(
    "certificate_expires",
    _WARN,
    "The server certificate expires within two weeks.",
    words="certificate ends",
    detail="detail",
)
CERTIFICATE_REJECTED = _event(
    "certificate_rejected",
    _BAD,
    "Changed TLS files were refused; the last good ones stay.",
    words="certificate refused",
    detail="error",
    ended_by=("certificate_reloaded",),
)
