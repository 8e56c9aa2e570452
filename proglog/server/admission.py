"""How much the server takes on at once: calls, bytes of requests, and bytes of answers; of each client, and in all.

The transport has no limit of its own: HTTP/2's limit of streams refuses calls that a client opened in good faith, and
that looks like a broken connection. Here a call beyond a bound waits for its turn, and after :data:`MAX_WAIT` it is
refused with an explanation (``TooManyCallsError``, RESOURCE_EXHAUSTED); proglog's clients back off and retry.

::

    call arrives -> authorized -> a place among the calls -> room for its request -> request received -> handled
                                  waits up to MAX_WAIT       produce calls only

A request is received only once there is room for it. Each kind of call has its own count, so that producers held up by a
slow disk never block an operator's status call. Produce requests count in bytes, and so do answers read from the log.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager

from proglog.errors import TooManyCallsError

MAX_CALLS = 8192
"""Calls of one kind under way; each costs about 25 KiB."""
MAX_CALLS_OF_CONNECTION = 4096
"""Calls of one kind under way on one connection."""
MAX_REQUEST_BYTES = 32 * 1024 * 1024
"""Bytes of received, unanswered requests."""
MAX_REQUEST_BYTES_OF_CONNECTION = 16 * 1024 * 1024
EXPECTED_REQUEST_BYTES = 1024 * 1024
"""Bytes reserved for the first request of a produce call until it has arrived and its size is known."""
MIN_REQUEST_BYTES = 4096
"""Bytes reserved at least for a later one, which is expected to be like the one before."""
ARRIVAL_SECONDS = 0.25
"""How long bytes stay reserved for a request that does not arrive: an idle stream holds nothing."""
MAX_ANSWER_BYTES = 24 * 1024 * 1024
"""Bytes read from the log, and not yet taken by the transport: a client that does not read holds its answer there."""
MAX_ANSWER_BYTES_OF_SUBJECT = 16 * 1024 * 1024
MAX_WAITING = 4096
"""Calls waiting for one bound; more are refused at once."""
MAX_WAIT = 5.0
"""Longest wait of a call for its turn, in seconds."""


class Bound:
    """A limit for each connection and in all. Excess calls wait, in a queue for each connection."""

    def __init__(self, name: str, most: int, most_of_connection: int) -> None:
        self.refused = 0
        """Number of calls refused for lack of room."""
        self._name = name
        self._most = most
        self._most_of_connection = most_of_connection
        self._held: Counter[str] = Counter()
        self._held_in_all = 0
        self._waiting: dict[str, deque[tuple[int, asyncio.Future[None]]]] = {}
        self._waiting_in_all = 0

    @property
    def held(self) -> int:
        """The amount in use now, in all."""
        return self._held_in_all

    @property
    def connections(self) -> Iterable[str]:
        """The connections that use some of it."""
        return self._held.keys()

    @property
    def waiting(self) -> int:
        """Number of waiting calls."""
        return self._waiting_in_all

    async def acquire(self, connection: str, amount: int, max_wait: float | None = MAX_WAIT) -> None:
        """Take ``amount`` as soon as there is any room: the last one in may exceed the bound.

        Raises:
            TooManyCallsError: There was no room within ``max_wait`` seconds, or too many wait already.
        """
        if self.has_room(connection):
            self.hold(connection, amount)
            return
        if self._waiting_in_all >= MAX_WAITING:
            raise self._refusal(connection)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (amount, turn)
        queue = self._waiting.setdefault(connection, deque())
        queue.append(entry)
        self._waiting_in_all += 1
        try:
            async with asyncio.timeout(max_wait):
                await turn
        except BaseException as exc:
            if turn.done() and not turn.cancelled():
                self.release(connection, amount)  # its turn came, but the call is gone
            else:
                queue.remove(entry)
                self._waiting_in_all -= 1
                if not queue and self._waiting.get(connection) is queue:
                    del self._waiting[connection]
            if isinstance(exc, TimeoutError):
                raise self._refusal(connection) from None
            raise

    def hold(self, connection: str, amount: int) -> None:
        """Take ``amount`` even if there is no room: it has arrived already."""
        self._held[connection] += amount
        self._held_in_all += amount

    def release(self, connection: str, amount: int) -> None:
        """Give ``amount`` back and admit waiters: FIFO on each connection, and the connections in turn."""
        self._held[connection] -= amount
        self._held_in_all -= amount
        if not self._held[connection]:
            del self._held[connection]
        while any(self._admit_one(waiting) for waiting in list(self._waiting)):
            pass

    def _admit_one(self, connection: str) -> bool:
        if not self.has_room(connection):
            return False
        queue = self._waiting.pop(connection)
        amount, turn = queue.popleft()
        self._waiting_in_all -= 1
        self.hold(connection, amount)
        turn.set_result(None)
        if queue:
            self._waiting[connection] = queue  # behind the others
        return True

    def has_room(self, connection: str) -> bool:
        """Return whether ``connection`` may take more."""
        return self._held_in_all < self._most and self._held[connection] < self._most_of_connection

    def _refusal(self, connection: str) -> TooManyCallsError:
        self.refused += 1
        full = self._held[connection] >= self._most_of_connection
        limit, where = (
            (self._most_of_connection, "on this connection") if full else (self._most, "on all connections together")
        )
        return TooManyCallsError(f"the server has {limit:,} {self._name} under way {where}: try again in a moment")


class Admission:
    """The bounds of one server."""

    def __init__(
        self,
        *,
        max_calls: int = MAX_CALLS,
        max_calls_of_connection: int = MAX_CALLS_OF_CONNECTION,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        max_request_bytes_of_connection: int = MAX_REQUEST_BYTES_OF_CONNECTION,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        max_answer_bytes_of_subject: int = MAX_ANSWER_BYTES_OF_SUBJECT,
    ) -> None:
        self._most = max_calls, max_calls_of_connection
        self._calls: dict[str, Bound] = {}
        self.requests = Bound("bytes of requests", max_request_bytes, max_request_bytes_of_connection)
        """Bytes of requests that produce."""
        self.answers = Bound("bytes of answers", max_answer_bytes, max_answer_bytes_of_subject)
        """Bytes read from the log for a call: see :mod:`proglog.server.answers`."""

    @property
    def kinds(self) -> Mapping[str, Bound]:
        """The bounds of the kinds of calls that there have been."""
        return self._calls

    @property
    def connections(self) -> int:
        """Connections that have a call under way."""
        return len({connection for bound in self._calls.values() for connection in bound.connections})

    def calls(self, kind: str) -> Bound:
        """Return the bound of the calls of one kind."""
        if kind not in self._calls:
            self._calls[kind] = Bound(f"{kind} calls", *self._most)
        return self._calls[kind]

    @asynccontextmanager
    async def call(self, connection: str, kind: str) -> AsyncGenerator[None]:
        """Hold a place among the calls of one kind.

        Raises:
            TooManyCallsError: There was none in time.
        """
        bound = self.calls(kind)
        await bound.acquire(connection, 1)
        try:
            yield
        finally:
            bound.release(connection, 1)
