"""The soak itself: the cluster, its traffic on a timetable, a sample now and then, and the verdict.

The timetable is in :data:`TIMETABLE`; each kind of traffic begins within the first seconds, so that a short soak has
some of each. The harness polls no agent: between two lines of the timetable it sleeps.
"""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import proglog.client
from kit.patience import patience
from kit.serf import SerfAgent
from kit.soak import complaints
from kit.soak.report import Report, Sample
from kit.soak.usage import usage
from proglog.client import Client
from proglog.errors import ProglogError
from proglog.testing.processes import AgentProcess

STOCK, OURS = ("s1", "s2", "s3"), ("p1", "p2", "p3")
TIMETABLE = {"records": 1.0, "user events": 20.0, "queries": 60.0, "changed tags": 120.0, "rotated keys": 900.0}
"""Seconds between two of each."""
WHOLE_WITHIN = 60.0
SAMPLES = 60
_LEAST_BETWEEN_SAMPLES = 2.0
_QUERY_SECONDS = 3.0
_POLL = 0.2


class Soak:
    """One run."""

    def __init__(
        self,
        directory: Path,
        *,
        seconds: float,
        seed: int = 7,
        interim: Callable[[Report], object] = lambda _report: None,
    ) -> None:
        """Work in ``directory`` for ``seconds``; ``interim`` gets the report at each sample."""
        self.report = Report()
        self._directory = directory
        self._seconds = seconds
        self._random = Random(seed)
        self._interim = interim
        self._stock: dict[str, SerfAgent] = {}
        self._ours: dict[str, AgentProcess] = {}
        self._clients: dict[str, Client] = {}
        self._keys = [self._random.randbytes(32)]
        self._turns: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._telemetry_before: dict[str, int] = {}
        self._log_before: dict[str, int] = {}
        self._traffic: dict[str, Callable[[int], Awaitable[None]]] = {
            "records": self._produce,
            "user events": self._send_event,
            "queries": self._query,
            "changed tags": self._change_tags,
            "rotated keys": self._rotate,
        }

    async def run(self) -> Report:
        """Run, end every process, and return the report.

        Raises:
            ConfigError: The program ``serf`` is missing.
            AssertionError: An agent did not start.
        """
        async with AsyncExitStack() as stack:
            await self._start(stack)
            whole = await self._whole()
            if whole:
                await self._soak()
                whole = await self._whole()
            if not whole:
                self.report.problems.append(f"not every agent saw every other alive within {WHOLE_WITHIN:g} s")
            await self._judge()
        return self.report

    async def _start(self, stack: AsyncExitStack) -> None:
        for name in STOCK:
            self._stock[name] = await stack.enter_async_context(SerfAgent(name, key=self._keys[0]))
        seed = self._stock[STOCK[0]].addr
        for name in STOCK[1:]:
            await self._stock[name].join(seed)
        key_file = self._directory / "gossip.keys"
        key_file.touch(mode=0o600)
        key_file.write_bytes(base64.b64encode(self._keys[0]) + b"\n")
        for name in OURS:
            agent = AgentProcess(name, self._directory, (seed,), {"encrypt-file": str(key_file)})
            stack.callback(agent.kill)
            await asyncio.to_thread(agent.start)
            self._ours[name] = agent
            self._clients[name] = await stack.enter_async_context(proglog.client.connect(agent.rpc_addr))

    async def _whole(self) -> bool:
        """Return whether every agent sees every other alive, once that is so or the time is up."""
        deadline = time.monotonic() + patience(WHOLE_WITHIN)
        while time.monotonic() < deadline:
            try:
                views = [await self._seen_by_stock(agent) for agent in self._stock.values()]
                views += [await self._seen_by_ours(client) for client in self._clients.values()]
            except ProglogError:
                views = []
            if views and all(view == dict.fromkeys((*STOCK, *OURS), "alive") for view in views):
                return True
            await asyncio.sleep(_POLL)
        return False

    async def _seen_by_stock(self, agent: SerfAgent) -> dict[str, str]:
        return {name: member.status for name, member in (await agent.members()).items()}

    async def _seen_by_ours(self, client: Client) -> dict[str, str]:
        return {member.name: str(member.status) for member in (await client.status()).members}

    async def _soak(self) -> None:
        self._log_before = {name: len(agent.log) for name, agent in self._stock.items()}
        self._telemetry_before = {name: agent.telemetry.stat().st_size for name, agent in self._ours.items()}
        began = time.monotonic()
        for at, kind in self._timetable():
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            self.report.seconds = time.monotonic() - began
            if kind == "sample":
                self._sample()
            else:
                await self._attempt(kind)
        self.report.seconds = time.monotonic() - began
        self._sample()

    def _timetable(self) -> Iterator[tuple[float, str]]:
        """Yield each second and what happens then, in order, up to the end of the soak."""
        between = max(_LEAST_BETWEEN_SAMPLES, self._seconds / SAMPLES)
        rows = {"sample": between, **TIMETABLE}
        due = {kind: 0.5 * number for number, kind in enumerate(rows)}
        while True:
            kind = min(due, key=lambda each: due[each])
            if due[kind] >= self._seconds:
                return
            yield due[kind], kind
            due[kind] += rows[kind]

    async def _attempt(self, kind: str) -> None:
        self._turns[kind] += 1
        try:
            await self._traffic[kind](self._turns[kind])
        except ProglogError as exc:
            self.report.refused.append(f"{self.report.seconds:.0f} s, {kind}: {exc}")
        else:
            self._done[kind] += 1
            self.report.done = dict(self._done)

    async def _produce(self, turn: int) -> None:
        await self._client().produce_value(b"record %d" % turn)

    async def _send_event(self, turn: int) -> None:
        if turn % 2:
            await self._agent().command("event", "soak", f"from a stock agent, {turn}")
        else:
            await self._client().membership.send_event("soak", b"from proglog, %d" % turn)

    async def _query(self, turn: int) -> None:
        """Query all; each of the six must acknowledge."""
        if turn % 2:
            shown = await self._agent().command("query", "-format=json", f"-timeout={_QUERY_SECONDS:g}s", "soak", "?")
            heard = set(json.loads(shown)["Acks"])
        else:
            asked = self._client().membership.query("soak", b"?", ack=True, seconds=_QUERY_SECONDS)
            heard = {reply.node async for reply in asked if reply.payload is None}
        if missing := {*STOCK, *OURS} - heard:
            raise ProglogError(f"no acknowledgement from {', '.join(sorted(missing))}")

    async def _change_tags(self, turn: int) -> None:
        if turn % 2:
            await self._agent().command("tags", "-set", f"turn={turn}")
        else:
            await self._client().membership.set_tags({"turn": str(turn)})

    async def _rotate(self, turn: int) -> None:
        """Install a new key, use it, remove the old one: by the stock tool and by proglog, in turn."""
        self._keys.append(self._random.randbytes(32))
        old, new = self._keys[-2:]
        for step, key in (("install", new), ("use", new), ("remove", old)):
            if turn % 2:
                await self._agent().command("keys", f"-{step}", base64.b64encode(key).decode())
            else:
                report = await self._client().membership.keys(step, key)
                if refused := [f"{each.node}: {each.error}" for each in report.answers if each.error]:
                    raise ProglogError(f"{step}: {', '.join(refused)}")
                if len(report.answers) < report.members:
                    raise ProglogError(f"{step}: {len(report.answers)} of {report.members} answered")

    def _client(self) -> Client:
        return self._clients[self._random.choice(OURS)]

    def _agent(self) -> SerfAgent:
        return self._stock[self._random.choice(STOCK)]

    def _sample(self) -> None:
        pids = {name: agent.pid for name, agent in self._stock.items()}
        pids |= {name: agent.pid for name, agent in self._ours.items()}
        usages = {name: found for name, pid in pids.items() if (found := usage(pid)) is not None}
        self.report.samples.append(Sample(self.report.seconds, usages))
        self._read_logs()
        self._interim(self.report)

    def _read_logs(self) -> None:
        for name, agent in self._stock.items():
            lines = agent.log[self._log_before.get(name, 0) :].splitlines()
            self.report.complaints[name] = complaints.of_stock(lines)
        for name, process in self._ours.items():
            with process.telemetry.open("rb") as telemetry:
                telemetry.seek(self._telemetry_before.get(name, 0))
                lines = telemetry.read().decode(errors="replace").splitlines()
            self.report.complaints[name] = complaints.of_proglog(lines)

    async def _judge(self) -> None:
        """Add what went wrong to the report; the processes still run."""
        problems = self.report.problems
        self._read_logs()
        for name, found in self.report.complaints.items():
            if found.failed:
                problems.append(f"{name} reported {found.failed} members as failed; none was")
            if found.errors:
                problems.append(f"{name} logged {found.errors} errors")
        if self.report.samples:
            ended = [name for name in (*STOCK, *OURS) if name not in self.report.samples[-1].usages]
            problems += [f"{name} has ended" for name in ended]
        try:
            ends = {name: (await client.status()).log.end_offset for name, client in self._clients.items()}
        except ProglogError as exc:
            problems.append(f"an agent did not answer at the end: {exc}")
            return
        if min(ends.values()) < self._done["records"]:
            problems.append(f"{self._done['records']:,} records were acknowledged, and logs end at {ends}")
