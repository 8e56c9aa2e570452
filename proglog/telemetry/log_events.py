"""Events of the log, its origins and replication; see :mod:`proglog.telemetry.events`."""

from proglog.telemetry.declare import declare as _event
from proglog.telemetry.emit import Weight

_GOOD, _NEWS, _WARN, _BAD = Weight

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
DAMAGE_REPAIRED = _event(
    "damage_repaired",
    _WARN,
    "Damaged offsets were restored from a peer: nothing is lost, but the disk had changed what was written.",
    detail="detail",
    ended_by=("repairs_accepted",),
)
REPAIRS_ACCEPTED = _event(
    "repairs_accepted",
    _NEWS,
    "An operator knows of the damage that was repaired: it is no finding any more.",
    words="repairs accepted",
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
OWN_ORIGIN_CLAIMED = _event(
    "own_origin_claimed",
    _WARN,
    "A peer says what can only be so if this directory has a double, and cannot prove it.",
    words="claim not proved",
    subject="peer",
    detail="detail",
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
    ended_by=("fork_accepted",),
)
FORK_ACCEPTED = _event(
    "fork_accepted",
    _NEWS,
    "An operator accepted that two histories of one origin exist: the alarm is over, also after a restart.",
    words="fork accepted",
    subject="peer",
    detail="detail",
    keys=("origin",),
)
REPLICATION_TRIMMED = _event(
    "replication_trimmed",
    _NEWS,
    "An origin continues after sequences that retention had removed on every reachable node.",
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
    "An origin continues after sequences that no node could supply: the log reserves their offsets, and restores them when"
    " they turn up.",
    words="gap recorded",
    subject="peer",
    detail="detail",
    keys=("origin",),
)
