"""Clients that keep writing through every fault, and the history of their answers.

Every payload is unique and sent once. Each acknowledged one must be in every log, once; an unanswered one may be there,
once; nothing else may be. :mod:`kit.checker` compares each log with the offsets that it acknowledged.
"""

import asyncio
import itertools
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from kit.checker import Attempt, Outcome, Reading, check
from kit.cluster import Node
from kit.oddities import Oddities
from proglog.client.accumulator import Acknowledged
from proglog.errors import ProglogError

ODD_EVERY = 50
_PAUSE = 0.1
_POLL = 0.02
_ACKNOWLEDGED_WITHIN = 60.0
_PATIENCE = 2.0
"""Seconds for a node to answer at the end of the load; later answers count as unknown."""


class History:
    """What clients sent, and the answers they got."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        """In the order of sending."""
        self.latencies: list[float] = []
        """Seconds from sending a group to its acknowledgement."""

    @property
    def acknowledged(self) -> set[bytes]:
        """The acknowledged payloads."""
        return {attempt.payload for attempt in self.attempts if attempt.outcome is Outcome.OK}

    def send(self, producer: str, log: str, count: int, padding: bytes = b"") -> list[bytes]:
        """Return ``count`` new payloads, padded by ``padding``, and record them as sent to ``log``."""
        start, name = len(self.attempts), b" ".join(filter(None, (producer.encode(), padding)))
        payloads = [b"%s %08d" % (name, number) for number in range(start, start + count)]
        self.attempts += [Attempt(producer, payload, Outcome.UNKNOWN, log=log) for payload in payloads]
        return payloads

    def acknowledge(self, payloads: Sequence[bytes], base_offset: int) -> None:
        """Record that this group was acknowledged from ``base_offset`` on."""
        start = int(payloads[0].rpartition(b" ")[2])
        for index in range(len(payloads)):
            attempt = self.attempts[start + index]
            self.attempts[start + index] = attempt._replace(outcome=Outcome.OK, offset=base_offset + index)

    def problems(self, readings: Sequence[Reading]) -> list[str]:
        """Return the problems with logs that should all hold everything, in words; empty if there are none."""
        found = [f"{flaw.kind}: {flaw.detail}" for flaw in check(self.attempts, readings)]
        held = {reading.log: {each[1:] for each in reading.seen} for reading in readings}
        everything = set[tuple[bytes, int, bytes]]().union(*held.values())
        acknowledged = self.acknowledged
        for log, records in held.items():
            lost = acknowledged - {payload for _, _, payload in records}
            if lost:
                found.append(f"{log} lacks {len(lost)} acknowledged records, such as {min(lost)!r}")
            if records != everything:
                found.append(f"{log} lacks {len(everything - records)} records that others have")
        return found


class Load:
    """Clients of these nodes, one each, while the ``async with`` block runs."""

    def __init__(
        self,
        nodes: Iterable[Node],
        history: History,
        *,
        group: int = 20,
        interval: float = 0.05,
        acks: int = 1,
        padding: bytes = b"",
        oddities: Oddities | None = None,
    ) -> None:
        """Write groups of ``group`` records to each node, one after the other's answer, ``interval`` seconds apart.

        With ``acks`` above 1, groups not confirmed by that many nodes in time count as unknown. Every fiftieth group is a
        single record of the ``oddities``, if there are any.
        """
        self._nodes = tuple(nodes)
        self._history = history
        self._group = group
        self._interval = interval
        self._acks = acks
        self._padding = padding
        self._oddities = oddities
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._acknowledged = dict.fromkeys((id(node) for node in self._nodes), 0)

    async def __aenter__(self) -> Self:
        """Begin."""
        self._tasks = [asyncio.create_task(self._write_to(node)) for node in self._nodes]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop after the requests in flight: at once after an error, soon if a node does not answer."""
        self._stopping.set()
        done, late = await asyncio.wait(self._tasks, timeout=_PATIENCE if kind is None else 0)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if kind is None:
            for task in done:
                task.result()

    async def acknowledged(self, records: int, *, by: Iterable[Node] | None = None, seconds: float = 0.0) -> None:
        """Wait until each of ``nodes``, or all, acknowledged ``records`` more, and ``seconds`` have passed.

        Raises:
            AssertionError: It took more than another minute.
        """
        started = time.monotonic()
        goal = {id(node): self._acknowledged[id(node)] + records for node in (self._nodes if by is None else by)}
        while missing := [name for name, count in goal.items() if self._acknowledged[name] < count]:
            late = time.monotonic() > started + seconds + _ACKNOWLEDGED_WITHIN
            assert not late, f"{len(missing)} of {len(goal)} nodes have not acknowledged {records} records"
            await asyncio.sleep(_POLL)
        await asyncio.sleep(max(0.0, started + seconds - time.monotonic()))

    async def _write_to(self, node: Node) -> None:
        life = 0
        while not self._stopping.is_set():
            life += 1
            try:
                await self._live(node, f"{node.log}/{time.monotonic_ns()}/{life}")
            except ProglogError:  # the node is away: unanswered payloads stay unknown
                await asyncio.sleep(_PAUSE)

    async def _live(self, node: Node, producer_name: str) -> None:
        acks: list[Acknowledged] = []
        async with node.client() as client, client.producer(acks=self._acks, on_ack=acks.append) as producer:
            for turn in itertools.count(1):
                if self._stopping.is_set():
                    return
                odd = self._oddities if turn % ODD_EVERY == 0 else None
                if odd is None:
                    payloads = self._history.send(producer_name, node.log, self._group, self._padding)
                    started = time.monotonic()
                    await producer.send_values(payloads)
                else:
                    payloads = self._history.send(producer_name, node.log, 1, odd.padding())
                    started = time.monotonic()
                    await producer.send(odd.record(payloads[0]))
                await producer.flush()
                self._history.latencies.append(time.monotonic() - started)
                self._history.acknowledge(payloads, acks.pop().base_offset)
                self._acknowledged[id(node)] += len(payloads)
                await asyncio.sleep(self._interval)
