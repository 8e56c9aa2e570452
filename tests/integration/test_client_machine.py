"""A machine of random calls: callers that send, flush, cancel, time out, close and reopen, agents that fail meanwhile.

A seed is a schedule. What holds after each::

    every record that was taken has one outcome, and the logs agree with it: written - there, at its offset, and nowhere
    else; not written - nowhere; unknown - at most once in all logs together
    a log has a producer's records in the order in which they were taken
    a flush that returned has everything before it written
    no call outlives its timeout by more than half a second, and what the loop itself was late
    no task and no descriptor is left
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kit.proxy import Proxy
from proglog.agent.writer import LogWriter
from proglog.client import (
    Acknowledged,
    Client,
    Deliveries,
    Delivery,
    ProduceError,
    Producer,
    ProglogError,
    Record,
    Written,
    connect,
)
from proglog.client.accumulator import Accumulator, Batch, Failed
from proglog.errors import PermissionDeniedError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LogPosition
from proglog.record import scan
from proglog.server.server import Server
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, NodeName, Offset

LONG = bool(os.environ.get("PROGLOG_LONG"))
SCHEDULES = 2_000 if LONG else 96
TOGETHER = 8
"""Schedules in one loop: most of a schedule is waiting."""
LATE = 0.5
LARGE = bytes(5 << 20)


class Rules:
    """Lets everybody in, or nobody."""

    generation = 0

    def __init__(self) -> None:
        self.closed = False

    def authorize(self, subject: str, object_: str, action: str) -> None:
        if self.closed:
            raise PermissionDeniedError(subject, action, object_)


class Host:
    """An agent's server and log in this process, on a disk of its own, behind a proxy."""

    def __init__(self, name: str, proxy: Proxy, seed: int) -> None:
        self.proxy = proxy
        self.files = FaultyFiles(seed)
        self._rules = Rules()
        self._name = name
        self._running = AsyncExitStack()
        self._up = False

    async def start(self) -> None:
        if self._up:
            return
        async with AsyncExitStack() as stack:
            log = Log.open(Path("/log"), LogConfig(ballast_bytes=0), files=self.files, node_name=NodeName(self._name))
            stack.callback(log.close)
            writer = await stack.enter_async_context(LogWriter(log))
            server = Server(commit_log=writer, authorizer=self._rules)
            port = await server.start("127.0.0.1:0")
            stack.push_async_callback(server.stop, 0)
            self.proxy.target = f"127.0.0.1:{port}"
            self._running = stack.pop_all()
        self._up = True

    async def kill(self) -> None:
        if not self._up:
            return
        self._up = False
        self.proxy.target = "127.0.0.1:1"
        self.proxy.cut()
        await self._running.aclose()
        self.files.kill()

    async def heal(self) -> None:
        self.files.capacity_bytes = None
        self._rules.closed = False
        self.proxy.cut()
        await self.start()

    def fill(self) -> None:
        self.files.capacity_bytes = self.files.used_bytes()

    def refuse(self) -> None:
        self._rules.closed = True
        self.proxy.cut()

    async def values(self) -> list[bytes]:
        await self.kill()
        self.files.capacity_bytes = None
        log = Log.open(Path("/log"), LogConfig(ballast_bytes=0), files=self.files, node_name=NodeName(self._name))
        values: list[bytes] = []
        at = LogPosition(Offset(0), FilePosition(0))
        while at != log.end_position:
            read = log.read(at, 1 << 22)
            values += [value for batch in scan.batches(read.data) for value in scan.values(batch)]
            at = read.next
        log.close()
        return values


class Schedule:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.taken: list[tuple[list[bytes], Delivery | Deliveries]] = []
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []
        self.flushed = 0
        self._number = 0
        self._late = 0.0
        self._beat = time.monotonic()
        self._over = False

    async def run(self) -> list[str]:
        random = self.random
        async with AsyncExitStack() as stack:
            hosts = []
            for name in "ab"[: random.choice((1, 1, 2))]:
                proxy = await stack.enter_async_context(Proxy("127.0.0.1:1"))
                host = Host(name, proxy, self.seed)
                stack.push_async_callback(host.kill)
                hosts.append(host)
                if random.random() < 0.8:
                    await host.start()
            lateness = asyncio.create_task(self._measure())
            client = await stack.enter_async_context(connect([host.proxy.addr for host in hosts], timeout=2))
            self.delivery_timeout = random.choice((0.3, 1.0))
            self.producer = self._producer(client)
            await self.producer.open()
            callers = [asyncio.create_task(self._call(Random(random.random()))) for _ in range(4)]
            faults = asyncio.create_task(self._fail(hosts))
            await asyncio.gather(*callers)
            self._over = True  # a fault is never broken off: a host killed by half would write on beside the next one
            await faults
            for host in hosts:
                if random.random() < 0.8:
                    await host.heal()
            drain = random.choice((None, None, 0.0, 0.2))
            await self._within(self.delivery_timeout + 1.0, self.producer.close(drain=drain), "close")
            lateness.cancel()
            outcomes = [await self._outcomes(values, sent) for values, sent in self.taken]
            self._check(outcomes, {host.proxy.addr: await host.values() for host in hosts})
        return [f"seed {self.seed}: {problem}" for problem in self.problems]

    def _producer(self, client: Client) -> Producer:
        random = self.random
        return client.producer(
            batch_bytes=random.choice((40, 200, 4000)),
            in_flight=random.choice((1, 5, 16)),
            linger=random.choice((0.0, 0.002, 0.05)),
            idempotent=random.random() < 0.8,
            delivery_timeout=self.delivery_timeout,
            max_buffered_bytes=random.choice((300, 3000, 1 << 20)),
            stop_on_failure=random.random() < 0.3,
        )

    async def _measure(self) -> None:
        while True:
            self._late, self._beat = self._lateness(), time.monotonic()
            await asyncio.sleep(0.01)

    def _lateness(self) -> float:
        """Return by how much the loop was late so far: what is late when that is asked included."""
        return self._late + max(0.0, time.monotonic() - self._beat - 0.01)

    async def _fail(self, hosts: list[Host]) -> None:
        random = self.random
        while not self._over:
            await asyncio.sleep(random.choice((0.01, 0.03, 0.1)))
            host = random.choice(hosts)
            match random.choice(("kill", "cut", "cut", "hold", "full", "refuse", *["heal"] * 5)):
                case "kill":
                    await host.kill()
                case "cut":
                    host.proxy.cut()
                case "hold":
                    host.proxy.hold_answers()
                case "full":
                    host.fill()
                case "refuse" if random.random() < 0.2:
                    host.refuse()
                case "heal":
                    await host.heal()
                case _:
                    pass

    async def _call(self, random: Random) -> None:
        for _ in range(random.randint(4, 16)):
            choice = random.choice(
                ("send", "send", "send", "wait", "values", "flush", "cancel", "wrong", "pause", "end")
            )
            try:
                await self._step(choice, random)
            except ProglogError as exc:
                self.done[type(exc).__name__] += 1

    async def _step(self, choice: str, random: Random) -> None:
        producer, limit = self.producer, self.delivery_timeout
        match choice:
            case "send":
                await self._within(limit, self._send(), choice)
            case "wait":
                values, sent = await self._within(limit, self._send(), choice)
                del values
                await self._within(limit, sent.written(), choice)
            case "values":
                count = random.randint(1, 12)
                await self._within(limit * count, self._send_values(count), choice)
            case "flush":
                timeout = random.choice((None, 0.05))
                before = len(self.taken)
                await self._within(timeout or limit, producer.flush(timeout), choice)
                self.flushed = max(self.flushed, before)
            case "cancel":
                try:
                    async with asyncio.timeout(random.choice((0.0, 0.001, 0.02))):
                        await random.choice((self._send, producer.flush))()
                except TimeoutError:
                    self.done["cancelled"] += 1
            case "wrong":
                wrong: Any = random.choice((b"x", None, Record(value=LARGE)))
                await producer.send(wrong)
                self.problems.append(f"{wrong!r:.30} was taken")
            case "end" if random.random() < 0.3:
                await self._within(limit + 1.0, producer.close(drain=random.choice((None, 0.0))), "close")
            case _:
                if producer.state in ("failed", "closed"):
                    await producer.open()
                await asyncio.sleep(random.choice((0.0, 0.01, 0.05)))

    async def _send(self) -> tuple[list[bytes], Delivery]:
        self._number += 1
        value = b"%d-%d" % (self.seed, self._number)
        sent = await self.producer.send(Record(value=value))
        self.taken.append(([value], sent))
        return [value], sent

    async def _send_values(self, count: int) -> None:
        for _ in range(count):  # one after the other: a refusal in the middle would leave the rest unnamed
            self._number += 1
            values = [b"%d-%d" % (self.seed, self._number)]
            self.taken.append((values, await self.producer.send_values(values)))

    async def _within(self, limit: float, call: Awaitable[Any], what: str) -> Any:
        started, late = time.monotonic(), self._lateness()
        try:
            return await call
        finally:
            took = time.monotonic() - started
            if took > limit + LATE + (self._lateness() - late):
                self.problems.append(f"{what} took {took:.2f} s of {limit} s")

    async def _outcomes(self, values: list[bytes], sent: Delivery | Deliveries) -> Any:
        if not sent.done:
            self.problems.append(f"{values} has no outcome after close")
            return None
        try:
            return await sent.written()
        except ProduceError as exc:
            return exc

    def _check(self, outcomes: list[Any], logs: dict[str, list[bytes]]) -> None:
        counts = Counter(value for values in logs.values() for value in values)
        places = {(value, offset) for values in logs.values() for offset, value in enumerate(values)}
        for (values, _), outcome in zip(self.taken, outcomes, strict=True):
            (value,) = values
            found = counts.pop(value, 0)
            match outcome:
                case Written(offset=offset) | (Acknowledged(base_offset=offset),):
                    self.done["written"] += 1
                    if found != 1 or (value, offset) not in places:
                        self.problems.append(f"{value!r} was written at {offset}, and is there {found} times")
                case ProduceError() if outcome.unknown:
                    self.done["unknown"] += 1
                    if found > 1:
                        self.problems.append(f"{value!r} of unknown outcome is there {found} times")
                case ProduceError():
                    self.done["not written"] += 1
                    if found:
                        self.problems.append(f"{value!r} was not written, and is there {found} times: {outcome}")
        if counts:
            self.problems.append(f"nobody sent {list(counts)[:3]}")
        order = {values[0]: index for index, (values, _) in enumerate(self.taken)}
        for addr, values in logs.items():
            numbers = [order[value] for value in values if value in order]
            if numbers != sorted(numbers):
                self.problems.append(f"{addr} has them out of order: {values[:40]}")
        tally = self.producer.counts
        if tally.waiting or tally.taken != len(self.taken):
            self.problems.append(f"counts do not add up: {tally}, {len(self.taken)} taken")


async def run(seeds: range) -> tuple[list[str], Counter[str]]:
    done: Counter[str] = Counter()
    problems: list[str] = []
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context.get("exception") or context)))
    try:
        for start in range(seeds.start, seeds.stop, TOGETHER):
            group = [Schedule(seed) for seed in range(start, min(start + TOGETHER, seeds.stop))]
            for found in await asyncio.gather(*(each.run() for each in group)):
                problems += found
            for each in group:
                done += each.done
    finally:
        loop.set_exception_handler(None)
    return problems + [f"the loop: {each}" for each in complaints if "handler is closed" not in each], done


def _knows_too_much(self: Accumulator, cause: ProglogError) -> list[Batch]:
    """Call what was sent and not answered not written."""
    return self._give_up(self._all_tried(), Failed(cause, unknown=False))


def _answers_another(self: Accumulator, outcome: Any) -> Batch:
    """Take an answer for that to the youngest batch."""
    youngest = self.in_flight.pop()
    self._settle(youngest, outcome)
    return youngest


def _takes_back_in_disorder(self: Accumulator) -> None:
    """Put what was in flight behind what waits."""
    self._sealed.extend(self.in_flight)
    self.in_flight.clear()


PLANTED = {"abandon": _knows_too_much, "answered": _answers_another, "_take_back": _takes_back_in_disorder}


@pytest.mark.parametrize("name", PLANTED)
async def test_a_planted_error_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accumulator, name, PLANTED[name])
    for start in range(0, 960, 2 * TOGETHER):
        problems, _ = await run(range(start, start + 2 * TOGETHER))
        if problems:
            return
    pytest.fail("a thousand schedules did not meet it")


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.timeout(7200 if LONG else 240)
async def test_whatever_callers_and_agents_do_each_record_has_one_outcome_and_the_logs_agree(
    record_property: Callable[[str, object], None],
) -> None:
    await run(range(1_000_000, 1_000_000 + TOGETHER))  # gRPC keeps some descriptors for good
    tasks, open_before = len(asyncio.all_tasks()), descriptors()

    problems, done = await run(range(SCHEDULES))

    record_property("outcomes", dict(done))
    assert problems == []
    assert min(done[each] for each in ("written", "unknown", "not written", "cancelled")) > SCHEDULES / 4, done
    async with asyncio.timeout(20):
        while len(asyncio.all_tasks()) > tasks or descriptors() > open_before + 5:
            await asyncio.sleep(0.1)
