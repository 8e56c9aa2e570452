"""Queries that this node asks: their recipients, their answers, and their end.

::

    ask  -->  broadcast  -->  acknowledgements and answers, directly to this node  -->  over at the timeout

A query goes to every member that passes its filters, this node included. One acknowledgement and one answer per member
count. Callbacks report them, and the caller may end the query early. Serf's own queries are asked the same way::

    asking.ask(GossipQuery(name="_serf_conflict", payload=name.encode()), answered, finished)

Source: serf ``serf.go`` (``Query``), ``query.go``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from proglog.errors import InvalidRequestError, OverloadedError
from proglog.gossip.answering import FLAG_ACK
from proglog.gossip.config import GossipConfig
from proglog.gossip.errors import MalformedMessageError
from proglog.gossip.lamport import LamportClock
from proglog.gossip.member import Address, packed_ip
from proglog.gossip.nodes import Nodes
from proglog.gossip.patterns import MAX_PATTERN_BYTES, matches
from proglog.gossip.serf_messages import Filter, NamesFilter, Query, QueryResponse, TagFilter
from proglog.gossip.timers import Timer, Timers

MAX_QUERY_BYTES = 1024
"""Most bytes of an encoded query: the limit of a stock agent."""
MAX_OPEN = 64
"""Queries under way at once."""
MAX_TIMEOUT = 3600.0
_TIMEOUT_MULT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipQuery:
    """A question and its recipients."""

    name: str
    payload: bytes = b""
    nodes: tuple[str, ...] = ()
    """Names of the members that are asked; empty: all."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Only members whose tags match these expressions of RE2."""
    ack: bool = False
    """Whether each recipient acknowledges it."""
    detours: int = 0
    """Members that each answer is also relayed through, against packet loss: 0 to 255."""
    timeout: float | None = None
    """Seconds until it is over; ``None``: the default for a cluster of this size."""


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """One member's acknowledgement or answer."""

    source: str
    """Its name, as on the wire."""
    payload: bytes | None
    """``None``: an acknowledgement."""


@dataclass(slots=True, eq=False)
class _Open:
    answered: Callable[[QueryAnswer], None]
    finished: Callable[[], None]
    timer: Timer
    heard: dict[tuple[str, bool], None] = field(default_factory=dict)


class Asking:
    """The queries under way."""

    def __init__(
        self,
        name: str,
        address: Address,
        clock: LamportClock,
        nodes: Nodes,
        config: GossipConfig,
        random: Random,
        timers: Timers,
        ask: Callable[[Query], None],
    ) -> None:
        """Ask nothing yet; ``ask`` broadcasts a query, and answers it here."""
        self._name = name
        self._address = address
        self._clock = clock
        self._nodes = nodes
        self._config = config
        self._random = random
        self._timers = timers
        self._ask = ask
        self._open: dict[tuple[int, int], _Open] = {}

    def default_timeout(self) -> float:
        """Return the default timeout of a query, in seconds."""
        alive = len(self._nodes.others_alive()) + 1
        return self._config.gossip_interval * _TIMEOUT_MULT * math.ceil(math.log10(alive + 1))

    def ask(
        self, question: GossipQuery, answered: Callable[[QueryAnswer], None], finished: Callable[[], None]
    ) -> Callable[[], None]:
        """Ask; return a function that ends the query early.

        Args:
            question: The question and its recipients.
            answered: Called with each acknowledgement and each answer.
            finished: Called once at the timeout; not when the query was ended early.

        Raises:
            InvalidRequestError: It is too long, or one of its parts is invalid.
            OverloadedError: ``MAX_OPEN`` others are under way.
        """
        if len(self._open) >= MAX_OPEN:
            raise OverloadedError(f"{MAX_OPEN} queries are under way: try again when one of them is over")
        timeout = self.default_timeout() if question.timeout is None else question.timeout
        query = self._query(question, timeout)
        key = query.ltime, query.number

        def end() -> None:
            if self._open.pop(key, None) is not None:
                timer.cancel()

        def over() -> None:
            if self._open.pop(key, None) is not None:
                finished()

        timer = self._timers.after(timeout, over)
        self._open[key] = _Open(answered, finished, timer)
        self._ask(query)
        return end

    def take(self, response: QueryResponse) -> None:
        """Handle a member's answer; one to no open query is late."""
        open_ = self._open.get((response.ltime, response.number))
        if open_ is None:
            return
        ack = bool(response.flags & FLAG_ACK)
        if (response.source, ack) in open_.heard or len(open_.heard) >= 2 * self._config.max_nodes:
            return  # a copy that came by a detour
        if self._nodes.get(response.source) is None:
            raise MalformedMessageError("an answer from a node that is no member")
        open_.heard[response.source, ack] = None
        open_.answered(QueryAnswer(response.source, None if ack else response.payload or b""))

    def _query(self, question: GossipQuery, timeout: float) -> Query:
        if not question.name:
            raise InvalidRequestError("a query needs a name")
        if not 0 < timeout <= MAX_TIMEOUT:
            raise InvalidRequestError(
                f"a query's timeout is {timeout:g} s: expected more than 0, at most {MAX_TIMEOUT:g}"
            )
        if not 0 <= question.detours <= 255:
            raise InvalidRequestError(f"a query's relay factor is {question.detours}: expected 0 to 255")
        for expression in question.tags.values():
            _check(expression)
        filters: list[Filter] = [NamesFilter(question.nodes)] if question.nodes else []
        filters += [TagFilter(tag, expression) for tag, expression in question.tags.items()]
        query = Query(
            name=question.name,
            payload=question.payload,
            ltime=self._clock.time,
            number=self._random.getrandbits(31),
            ip=packed_ip(self._address[0]),
            port=self._address[1],
            source=self._name,
            filters=tuple(filters),
            flags=FLAG_ACK if question.ack else 0,
            detours=question.detours,
            timeout=int(timeout * 1e9),
        )
        data = query.encode()
        if len(data) > MAX_QUERY_BYTES:
            raise InvalidRequestError(f"a query has at most {MAX_QUERY_BYTES:,} bytes; this one has {len(data):,}")
        try:
            return Query.read(data[1:])  # as the others will
        except MalformedMessageError as exc:
            raise InvalidRequestError(str(exc)) from exc


def _check(expression: str) -> None:
    try:
        matches(expression, "")
    except MalformedMessageError as exc:
        raise InvalidRequestError(f"{exc} (at most {MAX_PATTERN_BYTES:,} bytes)") from exc
