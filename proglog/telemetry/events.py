"""Every event of an agent: its name, its level, what it says and what it means, in one place.

An event is one line of telemetry; those with words are also entries of the status and the dashboard, under the same
name with hyphens. ``docs/reference/events.md`` is made from this table. Metrics are in
:mod:`proglog.telemetry.metric_names`.
"""

from proglog.telemetry.declare import EVENTS as EVENTS  # noqa: PLC0414 - part of this module's face
from proglog.telemetry.declare import declare as _event
from proglog.telemetry.emit import Weight
from proglog.telemetry.log_events import *  # noqa: F403
from proglog.telemetry.membership_events import *  # noqa: F403

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
    keys=("method", "subject", "peer", "code", "elapsed_ms", "received_bytes", "sent_bytes"),
)
STREAM_FINISHED = _event(
    "stream_finished",
    _NEWS,
    "A stream ended without an error, or its caller ended it: how much went each way, and to whom.",
    level="info",
    keys=("method", "subject", "peer", "code", "elapsed_ms", "received_bytes", "sent_bytes"),
)
RPC_REFUSED = _event(
    "rpc_refused",
    _NEWS,
    "A call ended with an error that its caller received.",
    detail="error",
    keys=("method", "subject", "peer", "code", "elapsed_ms", "received_bytes", "sent_bytes"),
)
RPC_FAILED = _event(
    "rpc_failed",
    _BAD,
    "A call met a bug; its caller got the number.",
    keys=("method", "subject", "peer", "code", "elapsed_ms", "received_bytes", "sent_bytes", "number", "exception"),
)

RELOAD_ASKED = _event(
    "reload_asked", _NEWS, "A signal asked to look at access rules and certificates now.", words="reload asked"
)
LOG_LEVEL_CHANGED = _event(
    "log_level_changed",
    _NEWS,
    "A signal changed the least level of events that telemetry has.",
    words="log level changed",
    keys=("least",),
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
POLICY_FAILED = _event(
    "policy_failed",
    _BAD,
    "A rule in force cannot be evaluated; the question was denied.",
    words="rule failed",
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
