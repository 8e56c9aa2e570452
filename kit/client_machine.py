"""A machine of random calls: callers that send, flush, cancel, time out, close and reopen, agents that fail meanwhile.

A seed is a schedule. What holds after each::

    every record that was taken has one outcome, and the logs agree with it: written - there, at its offset, and nowhere
    else; not written - nowhere; unknown - at most once in all logs together
    a log has a producer's records in the order in which they were taken; without idempotence, those of unknown outcome
    anywhere
    a flush raises if anything before it failed that nobody had heard of, and only then
    a producer holds no more bytes than it may
    once agents are whole, records are written, and soon
    no call outlives its timeout by more than half a second, and what the loop itself was late
    no task and no descriptor is left

Most schedules run in virtual time, with the agents of :mod:`kit.virtual_agent`; some over gRPC, with a proxy before each
agent. ``python -m kit.client_machine 100000`` runs so many schedules in virtual time, ``--grpc`` over gRPC.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, Protocol, cast

from kit import virtual_loop
from kit.proxy import Proxy
from kit.virtual_agent import VirtualAgent
from proglog.agent.writer import LogWriter
from proglog.client import (
    Acknowledged,
    Deliveries,
    Delivery,
    ProduceError,
    Producer,
    ProglogError,
    Record,
    Written,
    connect,
)
from proglog.client.link import Link
from proglog.errors import PermissionDeniedError
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import LogPosition
from proglog.record import scan
from proglog.server.server import Server
from proglog.testing.files import FaultyFiles
from proglog.types import FilePosition, NodeName, Offset

TOGETHER = 8
"""Schedules over gRPC in one loop: most of a schedule is waiting."""
CHUNK = 500
LATE = 0.5
SOON = 0.1
"""Seconds, virtual ones, in which agents that are whole have written a record."""
AT_ONCE = 0.04
"""The same, of a record that is awaited: less than the longest linger."""
LONGEST = 600.0
"""Seconds of a schedule, in its own time: no caller waits for so long."""
BYTES_OF_ONE = 60
"""More than one record of a schedule takes."""
LARGE = Record(value=bytes(5 << 20))


class Host(Protocol):
    """An agent, and what may happen to it."""

    @property
    def addr(self) -> str:
        """Its address."""

    async def start(self) -> None:
        """Start it, if it is down."""

    async def kill(self) -> None:
        """End it at once."""

    async def heal(self) -> None:
        """Undo every fault."""

    def cut(self) -> None:
        """Break every connection."""

    def hold_answers(self) -> None:
        """Withhold its answers until a cut."""

    def hold_requests(self) -> None:
        """Withhold requests until they are stranded, or cut."""

    def strand(self) -> None:
        """Break every connection for its clients only."""

    def deliver(self) -> None:
        """Pass on stranded requests."""

    def fill(self) -> None:
        """Leave no room on its disk."""

    def refuse(self) -> None:
        """Let nobody in."""

    async def logs(self) -> list[list[bytes]]:
        """Return everything in each log that it had; it is down then."""
        ...


class Rules:
    """Lets everybody in, or nobody."""

    generation = 0

    def __init__(self) -> None:
        """Let everybody in."""
        self.closed = False

    def reload(self) -> None:
        """There is no file."""

    def authorize(self, subject: str, object_: str, action: str) -> None:
        """Raise if nobody is let in."""
        if self.closed:
            raise PermissionDeniedError(subject, action, object_)


class GrpcHost:
    """An agent's server and log in this process, on a disk of its own, behind a proxy."""

    def __init__(self, name: str, proxy: Proxy, seed: int) -> None:
        """Be down."""
        self.proxy = proxy
        self.files = FaultyFiles(seed)
        self._rules = Rules()
        self._name = name
        self._running = AsyncExitStack()
        self._up = False

    @property
    def addr(self) -> str:
        """That of the proxy."""
        return self.proxy.addr

    async def start(self) -> None:
        """Start it, if it is down."""
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
        """End it at once."""
        if not self._up:
            return
        self._up = False
        self.proxy.target = "127.0.0.1:1"
        self.proxy.cut()
        await self._running.aclose()
        self.files.kill()

    async def heal(self) -> None:
        """Undo every fault."""
        self.files.capacity_bytes = None
        self._rules.closed = False
        self.proxy.cut()
        await self.start()

    def cut(self) -> None:
        """Break every connection."""
        self.proxy.cut()

    def hold_answers(self) -> None:
        """Withhold its answers."""
        self.proxy.hold_answers()

    def hold_requests(self) -> None:
        """Withhold requests."""
        self.proxy.hold_requests()

    def strand(self) -> None:
        """Break every connection for its clients only."""
        self.proxy.strand()

    def deliver(self) -> None:
        """Pass on stranded requests."""
        self.proxy.deliver()

    def fill(self) -> None:
        """Leave no room on its disk."""
        self.files.capacity_bytes = self.files.used_bytes()

    def refuse(self) -> None:
        """Let nobody in."""
        self._rules.closed = True
        self.proxy.cut()

    async def logs(self) -> list[list[bytes]]:
        """Return everything in its only log; it is down then."""
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
        return [values]


class Schedule:
    """One seed."""

    def __init__(self, seed: int, *, virtual: bool = True) -> None:
        """Run it in virtual time, or over gRPC."""
        self.seed = seed
        self._virtual = virtual
        self.random = Random(seed)
        self.taken: list[tuple[list[bytes], Delivery | Deliveries]] = []
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []
        self.flushes: list[tuple[list[int], bool]] = []
        """For each flush the indices of what it covered and no caller had heard of, and whether it raised for them."""
        self._told: set[int] = set()
        """Indices of what was awaited, or covered by a flush that raised."""
        self._indices: dict[Delivery | Deliveries, int] = {}
        self._number = 0
        self._late = 0.0
        self._beat = 0.0
        self._over = False

    async def run(self) -> list[str]:
        """Return what did not hold."""
        try:
            async with asyncio.timeout(LONGEST):
                await self._run()
        except TimeoutError:
            self.problems.append("somebody waits for ever")
        return [f"seed {self.seed}: {problem}" for problem in self.problems]

    async def _run(self) -> None:
        random = self.random
        async with AsyncExitStack() as stack:
            hosts = []
            for name in "ab"[: random.choice((1, 1, 2))]:
                host = await self._host(name, stack)
                stack.push_async_callback(host.kill)
                hosts.append(host)
                if random.random() < 0.8:
                    await host.start()
            lateness = asyncio.create_task(self._measure())
            self.delivery_timeout = random.choice((0.3, 1.0, 4.0) if self._virtual else (0.3, 1.0))
            self.producer = await self._producer(hosts, stack)
            await self.producer.open()
            callers = [asyncio.create_task(self._call(Random(random.random()))) for _ in range(4)]
            faults = asyncio.create_task(self._fail(hosts))
            await asyncio.gather(*callers)
            self._over = True
            await faults
            if self._virtual and random.random() < 0.4:
                try:
                    await self._all_is_well(hosts)
                except ProglogError as exc:
                    self.problems.append(f"at agents that are whole: {exc}")
            for host in hosts:
                if random.random() < 0.8:
                    await host.heal()
            drain = random.choice((None, None, 0.0, 0.2))
            await self._within(self.delivery_timeout + 1.0, self.producer.close(drain=drain), "close")
            for host in hosts:
                host.deliver()
            await asyncio.sleep(0.05)
            lateness.cancel()
            await asyncio.gather(lateness, return_exceptions=True)
            outcomes = [await self._outcomes(values, sent) for values, sent in self.taken]
            for covered, raised in self.flushes:
                failed = [at for at in covered if isinstance(outcomes[at], ProduceError)]
                if bool(failed) != raised:
                    said = "raised" if raised else "returned"
                    self.problems.append(f"a flush {said}; of what it covered, {failed[:5]} failed")
            self._check(outcomes, {f"{host.addr}{n}": log for host in hosts for n, log in enumerate(await host.logs())})

    async def _all_is_well(self, hosts: list[Host]) -> None:
        """With agents that are whole, everything is written, and soon: nothing waits for a wake-up that does not come."""
        for host in hosts:
            await host.heal()
        await asyncio.sleep(5)  # what is overdue is over
        if self.producer.state in ("failed", "closed"):
            await self.producer.open()
        clock = asyncio.get_running_loop().time
        values, sent = await self._send()
        await asyncio.sleep(self._linger + SOON)  # nobody asks for it, and it goes all the same
        if not sent.done:
            self.problems.append(f"{values} lingers")
        asked_at = clock()
        values, sent = await self._send()
        outcome = await self._outcome_of(sent)
        if not isinstance(outcome, Written) or clock() - asked_at > AT_ONCE:
            self.problems.append(f"{values} took {clock() - asked_at:.3f} s: {outcome}")
        many = await asyncio.gather(*(self._send() for _ in range(20)), return_exceptions=True)
        failed = [each for each in many if isinstance(each, BaseException)]
        if failed:
            self.problems.append(f"no room for {len(failed)} of 20 records: {failed[0]}")

    async def _outcome_of(self, sent: Delivery | Deliveries) -> Any:
        try:
            return await sent.written()
        except ProduceError as exc:
            return exc

    async def _host(self, name: str, stack: AsyncExitStack) -> Host:
        if self._virtual:
            return VirtualAgent(name, self.seed)
        return GrpcHost(name, await stack.enter_async_context(Proxy("127.0.0.1:1")), self.seed)

    async def _producer(self, hosts: list[Host], stack: AsyncExitStack) -> Producer:
        random = self.random
        self._idempotent = random.random() < 0.8
        self._linger = random.choice((0.0, 0.002, 0.05))
        self._most_bytes = random.choice((300, 3000, 1 << 20))
        arguments: dict[str, Any] = {
            "batch_bytes": random.choice((40, 200, 4000)),
            "in_flight": random.choice((1, 5, 16, 64)),
            "linger": self._linger,
            "idempotent": self._idempotent,
            "delivery_timeout": self.delivery_timeout,
            "max_buffered_bytes": self._most_bytes,
            "stop_on_failure": random.random() < 0.3,
        }
        if self._virtual:
            return Producer(cast("list[Link]", hosts), **arguments)
        client = await stack.enter_async_context(connect([host.addr for host in hosts], timeout=2))
        return client.producer(**arguments)

    async def _measure(self) -> None:
        while True:
            self._late, self._beat = self._lateness(), asyncio.get_running_loop().time()
            await asyncio.sleep(0.01)

    def _lateness(self) -> float:
        """Return by how much the loop was late so far: what is late when that is asked included."""
        passed = asyncio.get_running_loop().time() - self._beat if self._beat else 0.0
        return self._late + max(0.0, passed - 0.01)

    async def _fail(self, hosts: list[Host]) -> None:
        random = self.random
        while not self._over:
            await asyncio.sleep(random.choice((0.01, 0.03, 0.1)))
            host = random.choice(hosts)
            if isinstance(host, VirtualAgent) and random.random() < 0.2:
                await self._fail_by_the_clock(host)
                continue
            match random.choice(("kill", "cut", "cut", "hold", "strand", "full", "refuse", *["heal"] * 5)):
                case "kill":
                    await host.kill()
                case "cut":
                    host.cut()
                case "hold":
                    host.hold_answers()
                case "strand":
                    host.hold_requests()
                    await asyncio.sleep(random.choice((0.005, 0.03)))
                    host.strand()
                    await asyncio.sleep(random.choice((0.005, 0.05, 0.3)))
                    host.deliver()
                case "full":
                    host.fill()
                case "refuse" if random.random() < 0.2:
                    host.refuse()
                case "heal":
                    await host.heal()
                case _:
                    pass

    async def _fail_by_the_clock(self, host: VirtualAgent) -> None:
        """Inject what over gRPC would be hit once in a million."""
        random, accumulator = self.random, self.producer._accumulator
        match random.choice(("late", "late", "late", "late", "replace", "copy")):
            case "late" if accumulator.next_deadline is not None:  # answers that come as their batch is given up
                host.delay_answers(accumulator.next_deadline)
                await asyncio.sleep(max(0.0, accumulator.next_deadline - asyncio.get_running_loop().time()) + 0.01)
                host.delay_answers(0.0)
            case "replace":
                await host.replace()
            case "copy":  # a first copy arrives after the log, full at first, refused the second one
                host.hold_requests()
                await asyncio.sleep(random.choice((0.005, 0.03)))
                host.fill()
                host.strand()
                await asyncio.sleep(random.choice((0.05, 0.3, self.delivery_timeout)))
                host.free()
                host.deliver()
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
                _, sent = await self._within(limit, self._send(), choice)
                at = self._indices[sent]
                try:
                    await self._within(limit, sent.written(), choice)
                finally:
                    self._told.add(at)
            case "values":
                count = random.randint(1, 12)
                await self._within(limit * count, self._send_values(count), choice)
            case "flush":
                timeout = random.choice((None, 0.05))
                await self._within(timeout or limit, self._flush(timeout), choice)
            case "cancel":
                try:
                    async with asyncio.timeout(random.choice((0.0, 0.001, 0.02))):
                        await random.choice((self._send, self._flush))()
                except TimeoutError:
                    self.done["cancelled"] += 1
            case "wrong":
                wrong: Any = LARGE if random.random() < 0.1 else random.choice((b"x", None))
                await producer.send(wrong)
                self.problems.append(f"{wrong!r:.30} was taken")
            case "end" if random.random() < 0.3:
                await self._within(limit + 1.0, producer.close(drain=random.choice((None, 0.0))), "close")
            case _:
                if producer.state in ("failed", "closed"):
                    await producer.open()
                    self._told.update(range(len(self.taken)))  # a new life is silent on the one before
                await asyncio.sleep(random.choice((0.0, 0.01, 0.05)))

    async def _send(self) -> tuple[list[bytes], Delivery]:
        self._number += 1
        value = b"%d-%d" % (self.seed, self._number)
        sent = await self.producer.send(Record(value=value))
        self._took([value], sent)
        return [value], sent

    def _took(self, values: list[bytes], sent: Delivery | Deliveries) -> None:
        self._indices[sent] = len(self.taken)
        self.taken.append((values, sent))
        held = self.producer.buffered_bytes
        if held > max(self._most_bytes, BYTES_OF_ONE):
            self.problems.append(f"{held} bytes are held, of {self._most_bytes}")

    async def _flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the producer's own
        """Flush; note what it says of the records before it whose failure nobody had heard of."""
        covered = [at for at in range(len(self.taken)) if at not in self._told]
        try:
            await self.producer.flush(timeout)
        except ProduceError:
            if self.producer.state != "failed":  # then it says so, whatever it covers
                self.flushes.append((covered, True))
            self._told.update(covered)
            raise
        self.flushes.append((covered, False))

    async def _send_values(self, count: int) -> None:
        for _ in range(count):  # one after the other: a refusal in the middle would leave the rest unnamed
            self._number += 1
            values = [b"%d-%d" % (self.seed, self._number)]
            self._took(values, await self.producer.send_values(values))

    async def _within(self, limit: float, call: Awaitable[Any], what: str) -> Any:
        clock = asyncio.get_running_loop().time
        started, late = clock(), self._lateness()
        try:
            return await call
        finally:
            took = clock() - started
            if took > limit + LATE + (self._lateness() - late):
                self.problems.append(f"{what} took {took:.2f} s of {limit} s")

    async def _outcomes(self, values: list[bytes], sent: Delivery | Deliveries) -> Any:
        if not sent.done:
            self.problems.append(f"{values} has no outcome after close")
            return None
        return await self._outcome_of(sent)

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
        order = {
            values[0]: index
            for index, ((values, _), outcome) in enumerate(zip(self.taken, outcomes, strict=True))
            if self._idempotent or not isinstance(outcome, ProduceError)
        }
        for addr, values in logs.items():
            numbers = [order[value] for value in values if value in order]
            if numbers != sorted(numbers):
                self.problems.append(f"{addr} has them out of order: {values[:40]}")
        tally = self.producer.counts
        if tally.waiting or tally.taken != len(self.taken):
            self.problems.append(f"counts do not add up: {tally}, {len(self.taken)} taken")


async def _all(seeds: range, *, virtual: bool, together: int) -> tuple[list[str], Counter[str]]:
    done: Counter[str] = Counter()
    problems: list[str] = []
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context.get("exception") or context)))
    loop.slow_callback_duration = LONGEST  # with -X dev, asyncio warns of what a busy machine makes late
    before = len(asyncio.all_tasks())
    client_log = logging.getLogger("proglog.client")
    level = client_log.level
    client_log.setLevel(logging.CRITICAL)  # it says a lot, which costs more than the schedules
    try:
        for start in range(seeds.start, seeds.stop, together):
            group = [Schedule(seed, virtual=virtual) for seed in range(start, min(start + together, seeds.stop))]
            for found in await asyncio.gather(*(each.run() for each in group)):
                problems += found
            for each in group:
                done += each.done
            if virtual and len(asyncio.all_tasks()) > before:
                problems.append(f"seed {start}: tasks are left: {asyncio.all_tasks()}")
                break
    finally:
        loop.set_exception_handler(None)
        client_log.setLevel(level)
    return problems + [f"the loop: {each}" for each in complaints if "handler is closed" not in each], done


async def over_grpc(seeds: range) -> tuple[list[str], Counter[str]]:
    """Return what did not hold in schedules over gRPC, and what was done in them."""
    return await _all(seeds, virtual=False, together=TOGETHER)


def in_virtual_time(seeds: range) -> tuple[list[str], Counter[str]]:
    """Return what did not hold in schedules in virtual time, and what was done in them."""
    return virtual_loop.run(_all(seeds, virtual=True, together=1))


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description="Random calls of a producer's callers, and failing agents.")
    parser.add_argument("schedules", type=int)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more schedules after so many")
    parser.add_argument("--grpc", action="store_true", help="with real connections, in real time")
    given = parser.parse_args()
    last = given.first + given.schedules
    until, started = time.monotonic() + given.seconds, time.process_time()
    done: Counter[str] = Counter()
    run, failed = 0, False
    for start in range(given.first, last, CHUNK):
        if time.monotonic() > until:
            break
        seeds = range(start, min(start + CHUNK, last))
        problems, done_now = asyncio.run(over_grpc(seeds)) if given.grpc else in_virtual_time(seeds)
        for problem in problems:
            sys.stdout.write(f"{problem}\n")
        done += done_now
        run, failed = run + len(seeds), failed or bool(problems)
    took = time.process_time() - started
    sys.stdout.write(f"{run:,} schedules, {took:.1f} s of processor time: {dict(done)}\n")
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
