"""A replication stream on a virtual network: two queues of messages, delivered in order unless the adversary meddles."""

from collections import deque
from dataclasses import dataclass, field

from proglog.replication.plan import Unwant, Want
from proglog.replication.progress import Progress, Refusal
from proglog.server.feed import Feed
from proglog.server.followers import Following
from proglog.wire.replication import Hello

MAX_IN_FLIGHT = 4
"""Most messages that a source has in flight: flow control."""


@dataclass(frozen=True, slots=True)
class Response:
    """A message from a source."""

    batches: bytes = b""
    positions: tuple[Progress, ...] = ()
    events: tuple[Refusal, ...] = ()
    hello: Hello | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A follower's report of its durable progress."""

    positions: tuple[Progress, ...]


@dataclass(slots=True)
class Stream:
    """Open from ``source`` to ``follower``."""

    follower: str
    source: str
    feed: Feed
    responses: deque[Response] = field(default_factory=deque)
    requests: deque[Hello | Want | Unwant | Report] = field(default_factory=deque)
    muted: bool = False
    """Whether the source hangs: the stream is open but silent."""
    following: Following | None = None
    """What the follower's reports count under, once it has said hello."""
    asked: bool = False
    """Whether the follower sent a want since the last message: a source without push waits for one."""
