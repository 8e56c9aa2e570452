"""What ``bench`` measures: rates in a closed loop, latencies in an open one.

In an open loop every record has its time by the clock, whatever became of those before it, and its latency is counted
from then. So a stall counts against every record that it delayed, not only against the one that was waited for
("coordinated omission": Tene 2013, "How NOT to Measure Latency").
"""

import asyncio
import os
import platform
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proglog import __version__
from proglog.cli import diagnostics
from proglog.errors import DeadlineError
from proglog.tasks import TaskScope

if TYPE_CHECKING:
    from proglog.client import Acknowledged, Client

CHUNK_RECORDS = 10_000
WATCH_INTERVAL = 0.02
TICK_SECONDS = 0.001
"""An open loop sends what is due so often."""
MAX_SAMPLES = 1_000_000
ARRIVAL_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyShape:
    """Latencies in milliseconds, by the share of the records that took no longer."""

    samples: int
    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureShape:
    """One thing that was measured."""

    name: str
    loop: str
    """closed: each step waits for the one before; open: each record has its time by the clock."""
    records: int
    elapsed_ms: float
    records_per_s: float
    value_bytes_per_s: float
    target_records_per_s: float | None
    """Of an open loop."""
    latency: LatencyShape | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineShape:
    """Where it was measured."""

    cpus: int
    system: str
    python: str
    proglog: str
    load_1m: float


def machine() -> MachineShape:
    """Return the facts of this machine."""
    return MachineShape(
        cpus=len(os.sched_getaffinity(0)),
        system=platform.platform(),
        python=platform.python_version(),
        proglog=__version__,
        load_1m=round(os.getloadavg()[0], 2),
    )


def latency(seconds: list[float]) -> LatencyShape:
    """Return the percentiles of at least one latency."""
    seconds.sort()

    def at(share: float) -> float:
        return round(seconds[min(len(seconds) - 1, int(len(seconds) * share))] * 1000, 3)

    return LatencyShape(
        samples=len(seconds),
        min_ms=at(0),
        p50_ms=at(0.5),
        p90_ms=at(0.9),
        p99_ms=at(0.99),
        p999_ms=at(0.999),
        max_ms=at(1),
    )


def figure(
    name: str, records: int, value_bytes: int, seconds: float, *, rate: float | None = None, loop: str = "closed",
    took: LatencyShape | None = None,
) -> FigureShape:  # fmt: skip
    """Return what was measured of so many records in so many seconds."""
    per_second = records / max(seconds, 1e-9)
    return FigureShape(
        name=name,
        loop=loop,
        records=records,
        elapsed_ms=round(seconds * 1000, 1),
        records_per_s=round(per_second, 1),
        value_bytes_per_s=round(per_second * value_bytes, 1),
        target_records_per_s=rate,
        latency=took,
    )


async def one_by_one(client: "Client", records: int, value_bytes: int) -> FigureShape:
    """Send single records, each after the acknowledgement of the one before."""
    took = []
    began = time.perf_counter()
    async with client.producer(linger=0.0) as producer:
        for _ in range(records):
            started = time.perf_counter()
            await producer.send_values([bytes(value_bytes)])
            await producer.flush()
            took.append(time.perf_counter() - started)
    return figure("single", records, value_bytes, time.perf_counter() - began, took=latency(took))


async def produce(client: "Client", records: int, value_bytes: int) -> FigureShape:
    """Send records as fast as they are acknowledged."""
    values = _values(min(records, CHUNK_RECORDS), value_bytes)
    with diagnostics.progress("producing", records) as meter:
        started = time.perf_counter()
        async with client.producer() as producer:
            left = records
            while left:
                chunk = values[:left]
                await producer.send_values(chunk)
                left -= len(chunk)
                meter.advance(len(chunk))
        seconds = time.perf_counter() - started
    return figure("produce", records, value_bytes, seconds)


async def produce_at(client: "Client", rate: float, records: int, value_bytes: int) -> FigureShape:
    """Send records by the clock; their latency ends with the acknowledgement."""
    values = _values(min(records, CHUNK_RECORDS), value_bytes)
    marks = _Marks()
    async with client.producer(linger=0.0, on_ack=marks.acknowledged) as producer:
        began = time.perf_counter()
        await _by_the_clock(producer.send_values, values, records, rate, began)
        await producer.flush()
    seconds = time.perf_counter() - began
    took = latency(marks.latencies(began, rate))
    return figure("produce", records, value_bytes, seconds, rate=rate, loop="open", took=took)


async def end_to_end(writer: "Client", reader: "Client", rate: float, records: int, value_bytes: int) -> FigureShape:
    """Send records by the clock to one agent; their latency ends when a consumer of another one has them."""
    from proglog.client.offset_spec import OffsetSpec

    values, marks = _values(min(records, CHUNK_RECORDS), value_bytes), _Marks()
    async with reader.consume(OffsetSpec.before_end(0), follow=True) as consumer:
        await consumer.resolved()

        async def read() -> None:
            while marks.count < records:
                batch = await consumer.get(ARRIVAL_SECONDS)
                if batch is None:
                    raise DeadlineError(f"only {marks.count:,} of {records:,} records arrived at {reader.addr}")
                marks.arrived(len(batch.values()))

        async with writer.producer(linger=0.0) as producer, TaskScope() as tasks:
            began = time.perf_counter()
            reading = tasks.start(read(), name="bench-read")
            await _by_the_clock(producer.send_values, values, records, rate, began)
            await producer.flush()
            await reading
    seconds = time.perf_counter() - began
    took = latency(marks.latencies(began, rate))
    return figure("e2e", records, value_bytes, seconds, rate=rate, loop="open", took=took)


async def consume(client: "Client", start: int, records: int, value_bytes: int) -> FigureShape:
    """Read records as fast as they come."""
    from proglog.client.offset_spec import OffsetSpec

    count = 0
    with diagnostics.progress("consuming", records) as meter:
        started = time.perf_counter()
        async with client.consume(OffsetSpec.offset(start), OffsetSpec.offset(start + records)) as consumer:
            async for fetched in consumer:
                taken = len(fetched.values())
                count += taken
                meter.advance(taken)
        seconds = time.perf_counter() - started
    return figure("consume", count, value_bytes, seconds)


async def copied(
    client: "Client", name: str, end_offset: int, records: int, value_bytes: int, began: float
) -> FigureShape:
    """Wait until an agent's log reaches an offset; from ``began`` on, by the performance counter."""
    async for snapshot in client.watch(min_interval=WATCH_INTERVAL, of_itself=True):
        if snapshot.log.end_offset >= end_offset:
            break
    return figure(name, records, value_bytes, time.perf_counter() - began)


def _values(count: int, value_bytes: int) -> list[bytes]:
    return [(b"%0*d" % (value_bytes, number))[-value_bytes:] for number in range(count)]


async def _by_the_clock(send: Any, values: Sequence[bytes], records: int, rate: float, began: float) -> None:
    sent = 0
    while sent < records:
        due = min(records, int((time.perf_counter() - began) * rate) + 1)
        while sent < due:
            chunk = values[: due - sent]
            await send(chunk)
            sent += len(chunk)
        await asyncio.sleep(TICK_SECONDS)


class _Marks:
    """When records were done, in order: a count and a time for each step."""

    def __init__(self) -> None:
        self.count = 0
        self._counts: list[int] = []
        self._times: list[float] = []

    def acknowledged(self, batch: "Acknowledged") -> None:
        self.arrived(batch.end_offset - batch.base_offset)

    def arrived(self, records: int) -> None:
        self.count += records
        self._counts.append(self.count)
        self._times.append(time.perf_counter())

    def latencies(self, began: float, rate: float) -> list[float]:
        """Return the time from when each record was due until it was done; of very many, of every n-th."""
        step = max(1, self.count // MAX_SAMPLES)
        return [
            max(0.0, self._times[bisect_right(self._counts, number)] - (began + number / rate))
            for number in range(0, self.count, step)
        ]
