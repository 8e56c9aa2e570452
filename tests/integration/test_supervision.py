"""Every task of an agent, met by a bug: one event, no longer serving, an orderly end, and exit code 70."""

import ast
import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

import proglog
from proglog.agent.agent import Agent
from proglog.agent.config import AgentConfig
from proglog.agent.supervisor import Supervisor
from proglog.errors import LogPoisonedError
from proglog.gossip.events import MemberEvent, MemberEventKind
from proglog.gossip.member import Member, Status
from proglog.log.config import FsyncPolicy, LogConfig
from proglog.log.log import Log
from proglog.record import columns
from proglog.record.batch import encode, verify
from proglog.server.own_origin import DoubleClaim
from proglog.telemetry import events as names
from proglog.testing.processes import AgentProcess
from proglog.types import NodeName, OriginId, SequenceNumber

Eventually = Callable[..., Awaitable[None]]
SOURCE = Path(proglog.__file__).parent / "agent"
SEED = "127.0.0.1:9"
"""The port of discard: nobody answers."""
BUG = KeyError("injected")


def a_member() -> MemberEvent:
    facts: Mapping[str, Any] = {"tags": {}, "incarnation": 1, "status_ltime": 1, "rtt_ms": None, "since": 0.0}
    member = Member(name="b", addr="127.0.0.1", port=1, status=Status.ALIVE, **facts)
    return MemberEvent(kind=MemberEventKind.JOIN, member=member)


TRIGGERS: dict[str, Callable[[Agent], object]] = {
    "log-writer": lambda _: None,
    "log-housekeeping": lambda _: None,
    "log-sync-timer": lambda _: None,
    "conditions-save": lambda _: None,
    "known-members-save": lambda agent: agent.membership._reports._observer(a_member()),
    "gossip-timer": lambda _: None,
    "agent-server-watch": lambda _: None,
    "agent-monitor": lambda _: None,
    "agent-certificates": lambda _: None,
    "agent-copies": lambda _: None,
    "event-handlers": lambda _: None,
    "keyring-save": lambda _: None,
    "agent-readiness": lambda _: None,
    "agent-peer-check": lambda _: None,
    "agent-consumers": lambda _: None,
    "agent-history": lambda _: None,
    "repair": lambda _: None,
    "replicate-*": lambda agent: agent.replicator.join("b", SEED),
    "settle-from-*": lambda agent: agent.replicator.join("b", SEED),
    "read-from-*": lambda agent: agent.replicator.join("b", SEED),
    "hang-up-*": lambda agent: agent.replicator.join("b", SEED),
    "search-fork": lambda agent: agent.replicator.forked("b", OriginId(bytes(16)), "they part"),
    "begin-origin": lambda agent: agent.replicator.origin_change._origin_lost(
        names.OWN_ORIGIN_AHEAD, "b", "it was rolled back"
    ),
    "examine-claim": lambda agent: (
        agent.replicator.join("b", SEED),
        agent.replicator.origin_change._examine(
            DoubleClaim(names.OWN_ORIGIN_AHEAD, "b", "", OriginId(bytes(16)), SequenceNumber(1))
        ),
    ),
    "replication-report": lambda agent: agent.replicator._report_soon({OriginId(bytes(16))}),
    "replication-planner": lambda agent: agent.replicator._plan_with(lambda *_: None),
}
"""What starts each task, where starting the agent does not."""
PARTS_OF = dict.fromkeys(("settle-from-*", "read-from-*", "hang-up-*"), "replicate-b")
"""Tasks of a task: what ends one ends the other."""


@asynccontextmanager
async def running(config: AgentConfig) -> AsyncGenerator[Agent]:
    agent = await Agent.start(config)
    try:
        yield agent
    finally:
        await agent.shutdown()


def tasks_in_the_code() -> Iterator[str]:
    """The name of each task and timer that the agent's modules start."""
    for path in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr not in ("start", "call_later"):
                    continue
                for keyword in node.keywords:
                    if keyword.arg == "name" and isinstance(keyword.value, ast.Constant | ast.JoinedStr):
                        yield name_of(keyword.value)


def name_of(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)


def test_every_task_of_an_agent_is_in_the_list() -> None:
    # Around the supervisor: they end with it.
    of_the_process = {"agent", "agent-start", "agent-end", "stop-signal", "watchdog"}
    of_the_end = {"log-writer-close"}  # awaited by the shutdown, which reports its failure
    of_an_exchange = {"gossip-exchange", "serf-rpc-command", "serf-rpc-query"}  # its failure is that exchange's

    assert set(tasks_in_the_code()) - of_the_process - of_the_end - of_an_exchange == set(TRIGGERS)


def inject(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have the task or timer ``name`` meet a bug."""

    async def fail(*_: object) -> None:
        await asyncio.sleep(0)
        raise BUG

    def fail_at_once() -> None:
        raise BUG

    def start(self: Supervisor, work: Coroutine[Any, Any, None], **options: Any) -> asyncio.Task[None]:
        if options["name"] == name or (name == "replicate-*" and options["name"] == "replicate-b"):
            work.close()
            return started(self, fail(), **options)
        return started(self, work, **options)

    def call_later(self: Supervisor, delay: float, callback: Callable[[], None], *, name: str) -> asyncio.TimerHandle:
        return called(self, delay, fail_at_once if name == timer else callback, name=name)

    timer, started, called = name, Supervisor.start, Supervisor.call_later
    monkeypatch.setattr(Supervisor, "start", start)
    monkeypatch.setattr(Supervisor, "call_later", call_later)
    if name == "replication-planner":
        monkeypatch.setattr("proglog.replication.planner.Planner.next_deadline", lambda *_: 0.0)
    if name in PARTS_OF:
        method = "_settle_from" if name.startswith("settle") else "_read_from"
        monkeypatch.setattr(f"proglog.agent.replicator.Replicator.{method}", fail)


@pytest.mark.parametrize("name", TRIGGERS)
async def test_a_task_that_meets_a_bug_ends_the_agent(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inject(monkeypatch, name)
    config = AgentConfig(
        node_name="a",
        data_dir=tmp_path,
        bind_addr="127.0.0.1:0",
        rpc_port=0,
        start_join_addrs=(SEED,),
        log=LogConfig(fsync=FsyncPolicy.INTERVAL),
    )
    with capture_logs() as events:
        async with running(config) as agent:
            TRIGGERS[name](agent)
            async with asyncio.timeout(60):
                await agent.stopped.wait()

    failed = [event for event in events if event["event"] == "task_failed"]
    expected = PARTS_OF.get(name, name.replace("*", "b"))
    assert {(event["task"], event["exc_info"]) for event in failed} == {(expected, BUG)}
    assert agent.failure is not None
    assert agent.failure.error is BUG
    assert agent.log.state == "closed"
    assert events[-1]["event"] == "agent_stopped"
    assert [event for event in events if event["event"] == "agent_stop_step_failed"] == []


async def test_the_agent_says_not_serving_before_it_ends(tmp_path: Path, eventually: Eventually) -> None:
    config = AgentConfig(node_name="a", data_dir=tmp_path, bind_addr="127.0.0.1:0", rpc_port=0)
    said: list[int] = []
    async with running(config) as agent, grpc.aio.insecure_channel(agent.view.rpc_addr) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        said.append((await watch.read()).status)
        agent._tasks.start(asyncio.sleep(0), name="t")
        said.append((await watch.read()).status)

        await eventually(agent.stopped.is_set)

    assert said == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]


@pytest.mark.parametrize(
    "bug",
    [
        KeyError("x"),
        AssertionError(),
        MemoryError(),
        RuntimeError("can't start new thread"),
        StopIteration(),
        KeyboardInterrupt(),
        SystemExit(1),
        OSError("x"),
    ],
    ids=lambda bug: type(bug).__name__,
)
async def test_a_bug_on_the_disk_thread_answers_everybody_and_ends_the_agent(
    bug: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise bug

    payload = columns.from_values([b"x"])
    batch = verify(encode(payload, count=1, first_timestamp_ms=1, max_timestamp_ms=1))
    config = AgentConfig(node_name="a", data_dir=tmp_path, bind_addr="127.0.0.1:0", rpc_port=0)
    async with running(config) as agent, asyncio.timeout(60):
        monkeypatch.setattr(agent.log, "append", fail)
        waiting = await asyncio.gather(*(agent.writer.append(batch) for _ in range(3)), return_exceptions=True)
        state = agent.log.state
        with pytest.raises(LogPoisonedError):
            await agent.writer.append(batch)
        await agent.stopped.wait()

    assert [type(outcome) for outcome in waiting] == [LogPoisonedError] * 3
    assert state == "poisoned"
    assert agent.failure is not None
    assert agent.failure.task == "log-writer"
    log = Log.open(tmp_path, node_name=NodeName("a"))
    assert log.state == "ok", "a restart finds out what is on disk"
    log.close()


def serve(patch: str) -> tuple[str, ...]:
    """The command in place of ``python -m proglog``, with ``patch`` run first."""
    main = "import sys; sys.argv = ['proglog', *sys.argv[4:]]\nfrom proglog.__main__ import main; main()"
    return (sys.executable, "-c", f"{patch}\n{main}")


def test_serve_exits_with_70_and_one_line_for_its_user(tmp_path: Path) -> None:
    with_a_bug = "from proglog.log.log import Log\ndef retain(self): raise KeyError('injected')\nLog.retain = retain"
    agent = AgentProcess("a", tmp_path, command=serve(with_a_bug))
    agent.start()
    assert agent.process is not None
    code = agent.process.wait(20)
    agent.kill()

    *telemetry, last = agent.telemetry.read_text().splitlines()
    events = [json.loads(line) for line in telemetry if line.startswith("{")]
    assert code == 70
    assert last.startswith("error: this is a bug in proglog: the task log-housekeeping failed: KeyError('injected')")
    assert [line for line in telemetry if not line.startswith("{")] == []
    (failed,) = (event for event in events if event["event"] == "task_failed")
    assert failed["exception"][0]["exc_type"] == "KeyError"
    assert "locals" not in failed["exception"][0]["frames"][-1], "they may hold what clients sent"
    assert events[-1]["event"] == "agent_stopped"


def test_a_limit_on_threads_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    limited = (
        "import threading\n"
        "start, started = threading.Thread.start, []\n"
        "def start_ten(self):\n"
        '    if len(started) == 10: raise RuntimeError("can\'t start new thread")\n'
        "    started.append(self); start(self)\n"
        "threading.Thread.start = start_ten"
    )
    flags = ("--data-dir", str(tmp_path / "data"), "--bind-addr", "127.0.0.1:0", "--rpc-port", "0")
    command = (*serve(limited), "-", "-", "-", "serve", *flags)
    result = subprocess.run(command, capture_output=True, text=True, timeout=20)

    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(r"error: cannot start \d+ threads \(agent\): .*raise the limit.*\n", result.stderr), (
        result.stderr
    )
    assert not (tmp_path / "data").exists()


def test_a_signal_before_the_agent_is_ready_ends_it_with_143_and_an_unlocked_directory(tmp_path: Path) -> None:
    slow = (
        "import time; from proglog.log.log import Log\n"
        "opened = Log.open\n"
        "def open(*args, **options):\n"
        "    print('opening', flush=True); time.sleep(0.5); return opened(*args, **options)\n"
        "Log.open = open"
    )
    flags = ("--data-dir", str(tmp_path / "data"), "--bind-addr", "127.0.0.1:0", "--rpc-port", "0")
    command = (*serve(slow), "-", "-", "-", "serve", *flags)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "opening\n"
        process.terminate()
        stdout, stderr = process.communicate(timeout=60)

    assert (process.returncode, stdout) == (143, ""), stderr
    log = Log.open(tmp_path / "data", node_name=NodeName("a"))
    assert log.recovery.clean, "it was not closed in order"
    log.close()


def test_as_process_1_an_agent_leaves_no_zombies(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, time\n"
        "from proglog.agent.run import reap_orphans\n"
        "assert os.getpid() == 1\n"
        "reap_orphans()\n"
        "subprocess.run(['sh', '-c', 'sleep 0.2 & exit 0'])\n"  # the sleep comes to process 1
        "deadline = time.monotonic() + 10\n"
        "others = lambda: [name for name in os.listdir('/proc') if name.isdigit() and name != '1']\n"
        "while others() and time.monotonic() < deadline: time.sleep(0.02)\n"
        "print(others())"
    )
    unshare = ("unshare", "--pid", "--fork", "--mount-proc")
    result = subprocess.run(
        [*unshare, sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )

    assert (result.returncode, result.stdout.strip()) == (0, "[]"), result.stderr
