"""Clients that go on writing whatever happens, and the history of what they were told.

Every value is sent once and is unlike every other: ``NODE/LIFE/NUMBER``, a life being one connection. What was
acknowledged has to be in every log, once; what was sent and not answered may be there, once; nothing else may be. Within
a life and an origin the order is that of sending, and a sequence of an origin is one value everywhere (after Jepsen's
``kafka`` workload).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from proglog.errors import ProglogError
from proglog.testing.cluster import Held, Node

_PAUSE = 0.1
_PATIENCE = 2.0
"""Seconds for a node to answer when all is over; what it answers later is of unknown outcome."""


@dataclass(slots=True)
class History:
    """What clients sent, and what was acknowledged."""

    sent: set[bytes] = field(default_factory=set)
    acknowledged: set[bytes] = field(default_factory=set)
    latencies: list[float] = field(default_factory=list)
    """Seconds from sending a group to its acknowledgement."""

    def problems(self, logs: Mapping[str, Sequence[Held]], *, forgiven: Iterable[bytes] = ()) -> list[str]:
        """Return in words what is wrong with the logs; empty: nothing.

        Args:
            logs: Each in its own order, by node.
            forgiven: Acknowledged values that may be missing, because every disk that had them is gone.
        """
        expected = self.acknowledged - set(forgiven)
        found = []
        for name, log in logs.items():
            values = Counter(record.value for record in log)
            for what, wrong in (
                ("lost", expected - values.keys()),
                ("there twice", {value for value, times in values.items() if times > 1}),
                ("sent by nobody", values.keys() - self.sent),
                ("out of order", _out_of_order(log)),
            ):
                if wrong:
                    found.append(f"{name}: {len(wrong)} {what}, such as {min(wrong)!r}")
        return found + _differences(logs)


class Load:
    """Clients of these nodes, one each, while the ``async with`` block runs."""

    def __init__(self, nodes: Iterable[Node], history: History, *, group: int = 20, interval: float = 0.05) -> None:
        """Write groups of ``group`` records to each node, one after the other's answer, ``interval`` seconds apart."""
        self._nodes = tuple(nodes)
        self._history = history
        self._group = group
        self._interval = interval
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Begin."""
        self._tasks = [asyncio.create_task(self._write_to(node)) for node in self._nodes]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End after what is under way: at once after an error, soon if a node does not answer."""
        self._stopping.set()
        done, late = await asyncio.wait(self._tasks, timeout=_PATIENCE if kind is None else 0)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if kind is None:
            for task in done:
                task.result()

    async def _write_to(self, node: Node) -> None:
        life = 0
        while not self._stopping.is_set():
            life += 1
            try:
                await self._live(node, f"{node.host.addr}/{time.monotonic_ns()}/{life}")
            except ProglogError:  # the node is away: what was not answered stays in `sent` alone
                await asyncio.sleep(_PAUSE)

    async def _live(self, node: Node, life: str) -> None:
        history, number = self._history, 0
        async with node.client() as client, client.producer() as producer:
            while not self._stopping.is_set():
                values = [f"{life}/{number + index:08d}".encode() for index in range(self._group)]
                number += self._group
                history.sent.update(values)
                started = time.monotonic()
                await producer.send_values(values)
                await producer.flush()
                history.latencies.append(time.monotonic() - started)
                history.acknowledged.update(values)
                await asyncio.sleep(self._interval)


def _out_of_order(log: Sequence[Held]) -> set[bytes]:
    last: dict[tuple[bytes, bytes], bytes] = {}
    wrong = set()
    for record in log:
        life, _, number = record.value.rpartition(b"/")
        if last.get((record.origin, life), b"") > number:
            wrong.add(record.value)
        last[record.origin, life] = number
    return wrong


def _differences(logs: Mapping[str, Sequence[Held]]) -> list[str]:
    found = []
    places: dict[tuple[bytes, int], bytes] = {}
    for name, log in logs.items():
        other = {record.value for record in log if places.setdefault(record[:2], record.value) != record.value}
        if other:
            found.append(f"{name}: {len(other)} where others have another record, such as {min(other)!r}")
    sizes = {name: len(set(log)) for name, log in logs.items()}
    if len({frozenset(log) for log in logs.values()}) > 1:
        found.append(f"the logs differ: {sizes}")
    return found
