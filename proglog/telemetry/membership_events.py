"""Events of membership and gossip; see :mod:`proglog.telemetry.events`."""

from proglog.telemetry.declare import declare as _event
from proglog.telemetry.emit import Weight

_GOOD, _NEWS, _WARN, _BAD = Weight

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
GOSSIP_UNWELL = _event(
    "gossip_unwell",
    _NEWS,
    "This node misses answers of other members: it is overloaded, or its network loses packets. It accuses others later.",
    words="misses answers",
    keys=("score",),
)
GOSSIP_WELL = _event(
    "gossip_well", _GOOD, "This node hears all answers again.", words="hears all answers", keys=("score",)
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
    "The file of forks could not be read or saved; saving is tried again.",
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
