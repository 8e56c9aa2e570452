"""A replication stream on a virtual network: two queues of messages, delivered in order unless the adversary meddles."""

from collections import deque
from dataclasses import dataclass, field

from proglog.replication.planner import Unwant, Want
from proglog.replication.progress import Progress, Refusal
from proglog.server.feed import Feed
from proglog.wire.replication import Hello

MAX_IN_FLIGHT = 4
"""Messages that a source has under way: flow control."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a source sends."""

    batches: bytes = b""
    positions: tuple[Progress, ...] = ()
    events: tuple[Refusal, ...] = ()
    hello: Hello | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a follower says is durable there."""

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
    """The source hangs: the stream is open, and nothing comes."""
    asked: bool = False
    """Something was wanted since the last message: all that a source without push goes by."""
