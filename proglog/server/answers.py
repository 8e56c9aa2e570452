"""Room for what calls have read from the log and not sent yet: bounded for each subject, and in all.

A client that stops reading leaves one answer in the server's memory; many such streams leave many. So a read takes its
room before it begins, waits for it if there is none, and gives it back when the answer is with the transport::

    room for max_bytes -> read -> room for what was read -> answer handed to the transport, and taken by it -> room given back
                           |  larger than its room, and there is no more: dropped, and read again once there is
                           +-------------------------------------------------------------------------------------

The gate opens an :class:`AnswerRoom` for each call; a read finds it by itself. Reads outside of calls are not counted.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from proglog.log.model import LogRead
from proglog.server.admission import Bound

MAX_WAIT = 20.0
"""Longest wait of a read for its room, in seconds."""

answer_room: "ContextVar[AnswerRoom | None]" = ContextVar("answer_room", default=None)
"""The room of the call that this task serves."""


class AnswerRoom:
    """What one call holds: the size of its last read, until that was sent."""

    def __init__(self, bound: Bound, connection: str) -> None:
        """Hold nothing."""
        self._bound = bound
        self._connection = connection
        self._held = 0

    async def acquire(self, size: int) -> None:
        """Hold ``size`` bytes instead of what is held, once there is room.

        Raises:
            TooManyCallsError: There was none within ``MAX_WAIT`` seconds, or too many reads wait already.
        """
        self.release()
        await self._bound.acquire(self._connection, size, MAX_WAIT)
        self._held = size

    def fits(self, size: int) -> bool:
        """Hold ``size`` bytes instead of what is held if that is less, or there is room now; return whether it does."""
        if size > self._held and not self._bound.has_room(self._connection):
            return False
        self._bound.hold(self._connection, size)
        self.release()
        self._held = size
        return True

    def release(self) -> None:
        """Hold nothing."""
        held, self._held = self._held, 0
        if held:
            self._bound.release(self._connection, held)


async def read_with_room(read: Callable[[], Awaitable[LogRead]], max_bytes: int) -> LogRead:
    """Return what ``read`` returns, within the room of the call that is served; ``max_bytes`` is what it asks for.

    Raises:
        TooManyCallsError: There was no room in time, or too many reads wait already.
    """
    room = answer_room.get()
    if room is None:
        return await read()
    await room.acquire(max_bytes)
    while True:
        try:
            found = await read()
        except BaseException:
            room.release()
            raise
        size = len(found.data)
        if room.fits(size):
            return found
        del found  # one batch larger than was asked for
        await room.acquire(size)
