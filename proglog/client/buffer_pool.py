"""A producer's buffer: bounded in bytes, granted in FIFO order."""

import asyncio
from collections import deque
from collections.abc import Callable

from proglog.errors import DeadlineError, OverloadedError, ProglogError


class BufferPool:
    """A bounded number of bytes. Callers wait in turn; a cancelled one leaves the queue and takes nothing."""

    def __init__(self, limit_bytes: int, held_bytes: Callable[[], int], crowded: Callable[[], bool]) -> None:
        """Be empty.

        Args:
            limit_bytes: Most that may be held, and most that may wait beside it; a larger record is admitted by itself.
            held_bytes: Return how much is held.
            crowded: Return whether there is no room for more, however small.
        """
        self._limit = limit_bytes
        self._held = held_bytes
        self._crowded = crowded
        self.turns: deque[tuple[asyncio.Future[None], int]] = deque()
        """The waiters in order, with the bytes each needs."""
        self._waiting_bytes = 0
        self._promised_bytes = 0
        """Given to callers that have not taken it yet."""

    @property
    def is_wanted(self) -> bool:
        """Whether callers wait for room, or have been given some that they have not taken yet."""
        return bool(self.turns or self._promised_bytes)

    def fits(self, size: int) -> bool:
        """Return whether ``size`` more bytes may be held, ahead of the waiters."""
        held = self._held() + self._promised_bytes
        if self._crowded():
            return False
        return held + size <= self._limit or not held

    async def wait(self, size: int, timeout: float) -> None:
        """Return when it is this caller's turn and ``size`` bytes fit. They have to be taken before anything is awaited.

        Raises:
            OverloadedError: As many bytes already wait as may be held.
            DeadlineError: They did not fit in time.
            ProglogError: What :meth:`refuse` said.
        """
        if self._waiting_bytes + size > max(self._limit, size):
            raise OverloadedError(
                f"the producer holds {self._held():,} bytes, and {self._waiting_bytes:,} more wait for room: send less"
                " at once, or give it a larger max_buffered_bytes"
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = turn, size
        self.turns.append(entry)
        self._waiting_bytes += size
        try:
            async with asyncio.timeout(timeout):
                await turn
        except TimeoutError:
            if turn.done() and not turn.cancelled() and (refusal := turn.exception()) is not None:
                raise refusal from None
            raise DeadlineError(
                f"no room for a record within {timeout:g} s: {self._held():,} bytes wait for their outcome; nothing was"
                " taken"
            ) from None
        finally:
            if entry in self.turns:
                self.turns.remove(entry)
                self._waiting_bytes -= size
            elif turn.done() and not turn.cancelled() and turn.exception() is None:
                self._promised_bytes -= size
                asyncio.get_running_loop().call_soon(self.give)  # if it was cancelled, others have its room

    def give(self) -> None:
        """Admit the waiters, in order."""
        while self.turns and self.fits(self.turns[0][1]):
            turn, size = self.turns.popleft()
            self._waiting_bytes -= size
            if not turn.done():
                self._promised_bytes += size
                turn.set_result(None)

    def refuse(self, cause: ProglogError) -> None:
        """Refuse every waiter."""
        while self.turns:
            turn, size = self.turns.popleft()
            self._waiting_bytes -= size
            if not turn.done():
                turn.set_exception(cause)
