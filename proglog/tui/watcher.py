"""Watches an agent or its stand-in, and beside it every other member: streams that become changes.

::

    home      fast, with segments   tried for ever --.
    stand-in  fast, with segments   only while home is gone  --> queue --> changes()
    others    slow, one each        at most 64, staggered --'

The decisions are those of :mod:`proglog.tui.failover`. A member must answer under the name that gossip gave with its
address; a word under another name is not taken.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING

from proglog.errors import ProglogError, UnavailableError, is_out_of_reach
from proglog.observe.history import capacity
from proglog.tasks import TaskScope
from proglog.tui import failover
from proglog.tui.failover import Candidate, after
from proglog.tui.state import Change, ConnectionLost, MemberLost, MemberReported, Recalled, SnapshotArrived
from proglog.wire.model import ClusterSnapshot

if TYPE_CHECKING:
    from proglog.client.client import Client

_WAITING = 16
"""Changes that wait for their reader: a slow one slows the streams."""
_RECALL_PAUSE = 0.05
"""Seconds between two parts of the past: making frames of them takes the loop's time."""
_STAGGER = 0.1
"""Seconds between the first calls to two members."""


class Watcher:
    """One agent and its cluster. Iterate over :meth:`changes` once."""

    def __init__(self, home: str, dial: "Callable[[str], Client]", clock: Callable[[], float]) -> None:
        """Nothing is sent yet.

        Args:
            home: HOST:PORT of the watched agent.
            dial: Makes a client; refuses what is no HOST:PORT with a ``ConfigError``.
            clock: Seconds since 1970.
        """
        self.speaker = home
        """Address of the agent that is watched now."""
        self._home = home
        self._dial = dial
        self._clock = clock
        self._name = ""
        self._recalling = False
        self._known: ClusterSnapshot | None = None
        self._heard: set[str] = set()
        self._queue: asyncio.Queue[Change | BaseException] = asyncio.Queue(_WAITING)
        self._tasks = TaskScope()
        self._stand_in: asyncio.Task[None] | None = None
        self._others: dict[Candidate, asyncio.Task[None]] = {}

    async def changes(self) -> AsyncGenerator[Change, None]:
        """Yield changes until cancelled.

        Raises:
            ProglogError: What no waiting mends, such as TLS files that cannot be read.
        """
        self._start(self._watch_home())
        try:
            while True:
                change = await self._queue.get()
                if isinstance(change, BaseException):
                    raise change
                yield change
        finally:
            await self._tasks.close()

    def _start(self, stream: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._tasks.start(stream, name="dash-watch")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Hand the reader what ended a stream: TLS files that cannot be read, or a mistake of this program."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            while self._queue.full():
                self._queue.get_nowait()
            self._queue.put_nowait(error)

    async def _watch_home(self) -> None:
        attempt = 0
        async with self._dial(self._home) as client:
            while True:
                error: ProglogError = UnavailableError(f"{self._home} ended the stream")
                try:
                    async for snapshot in client.watch(segments=True):
                        attempt = 0
                        await self._home_spoke(snapshot)
                except ProglogError as exc:
                    error = exc
                attempt += 1
                wait = failover.retry_after(error, attempt)
                lost = ConnectionLost(at=self._clock(), attempt=attempt, retry_in=wait, error=str(error))
                await self._queue.put(lost)
                if self._stand_in is None and self._known is not None and is_out_of_reach(error):
                    self._stand_in = self._start(self._replace_home())
                await asyncio.sleep(wait)

    async def _home_spoke(self, snapshot: ClusterSnapshot) -> None:
        if self._stand_in is not None:
            self._stand_in.cancel()
            await asyncio.gather(self._stand_in, return_exceptions=True)
            self._stand_in = None
        self._name = snapshot.node.name
        await self._spoke(snapshot, self._home)

    async def _spoke(self, snapshot: ClusterSnapshot, addr: str) -> None:
        self.speaker = addr
        await self._remember(snapshot)
        stand_in = addr if addr != self._home else ""
        await self._queue.put(SnapshotArrived(snapshot, self._clock(), stand_in))
        if not stand_in and not self._recalling:
            self._recalling = True
            self._start(self._recall())

    async def _recall(self) -> None:
        """Hand over what the agent remembers of its last hour, a part at a time; one of an earlier release has none."""
        try:
            async with self._dial(self._home) as client, aclosing(client.history()) as parts:
                recalled = 0
                async for part in parts:
                    await self._queue.put(Recalled(tuple(part)))
                    recalled += len(part)
                    if recalled >= capacity(self._known):
                        return
                    await asyncio.sleep(_RECALL_PAUSE)
        except ProglogError:
            pass  # what was before is unknown then, and the screen shows no more than it saw

    async def _replace_home(self) -> None:
        """Watch from one member after the other, until it is cancelled: home is back."""
        await asyncio.sleep(failover.PATIENCE)
        rounds = 0
        while True:
            rounds += 1
            assert self._known is not None  # that is who may stand in
            for candidate in failover.candidates(self._known, self._home_names, self._heard):
                if await self._watch_instead(candidate):
                    rounds = 0
            await asyncio.sleep(after(max(rounds, 1), failover.ROUND_INTERVALS))

    @property
    def _home_names(self) -> tuple[str, str]:
        return self._home, self._name

    async def _watch_instead(self, candidate: Candidate) -> bool:
        """Watch a candidate for as long as it speaks; returns whether it did."""
        spoke = False
        try:
            async with self._dial(candidate.addr) as client:
                stream = client.watch(segments=True)
                async with asyncio.timeout(failover.FIRST_ANSWER):
                    snapshot = await anext(stream)
                while True:
                    _check_name(snapshot, candidate)
                    spoke = True
                    await self._spoke(snapshot, candidate.addr)
                    snapshot = await anext(stream)
        except (ProglogError, TimeoutError, StopAsyncIteration):
            # The next candidate is tried; that home is gone, and why, is on the screen already.
            if spoke:
                wait = failover.ROUND_INTERVALS[0]
                await self._queue.put(
                    ConnectionLost(at=self._clock(), attempt=0, retry_in=wait, error="", stand_in=candidate.addr)
                )
        return spoke

    async def _remember(self, snapshot: ClusterSnapshot) -> None:
        """Ask each other member that is alive; one that stops leaves the cluster first, and knows no members."""
        if not snapshot.members:
            return
        self._known = snapshot
        wanted = failover.others(snapshot, self._home_names)
        if wanted == tuple(self._others):
            return
        for gone in self._others.keys() - set(wanted):
            self._others.pop(gone).cancel()
            await self._forget(gone.name)
        for index, candidate in enumerate(each for each in wanted if each not in self._others):
            self._others[candidate] = self._start(self._watch_other(candidate, index * _STAGGER))
        self._others = {candidate: self._others[candidate] for candidate in wanted}

    async def _watch_other(self, candidate: Candidate, delay: float) -> None:
        attempt = 0
        while True:
            await asyncio.sleep(delay)
            try:
                async with self._dial(candidate.addr) as client:
                    interval = failover.asked_every(len(self._others))
                    async for snapshot in client.watch(min_interval=interval, of_itself=True):
                        _check_name(snapshot, candidate)
                        attempt = 0
                        self._heard.add(candidate.name)
                        await self._queue.put(MemberReported(candidate.name, snapshot, self._clock()))
            except ProglogError:
                pass  # what it holds is known from the watched agent then, and shown as second-hand
            attempt += 1
            await self._forget(candidate.name)
            delay = after(attempt, failover.OTHER_INTERVALS)

    async def _forget(self, name: str) -> None:
        if name in self._heard:
            self._heard.discard(name)
            await self._queue.put(MemberLost(name))


def _check_name(snapshot: ClusterSnapshot, candidate: Candidate) -> None:
    """Take only the word of the member that was meant.

    Raises:
        UnavailableError: Somebody else answers at its address.
    """
    if snapshot.node.name != candidate.name:
        raise UnavailableError(
            f"{candidate.addr} is said to be {candidate.name!r:.60}; it calls itself {snapshot.node.name!r:.60}"
        )
