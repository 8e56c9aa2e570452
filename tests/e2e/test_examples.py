"""The whole programs of examples/, through kill -9 of the agent and of the program."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proglog.client.sync import connect
from proglog.testing import AgentProcess

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EventuallySync = Callable[..., None]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    with AgentProcess("a", tmp_path) as started:
        yield started


def start(name: str, *arguments: object, addr: str = "", **variables: str) -> "subprocess.Popen[str]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        env=environment | {"PROGLOG_ADDR": addr} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(program: "subprocess.Popen[str]", timeout: float = 90) -> str:
    out, errors = program.communicate(timeout=timeout)
    assert program.returncode == 0, errors
    return out


def killed(program: "subprocess.Popen[str]") -> None:
    program.kill()
    program.communicate(timeout=30)


def fill(addr: str, start_at: int, count: int) -> None:
    with connect(addr, timeout=30) as client, client.producer(batch_bytes=500) as producer:
        producer.send_values([b"%06d" % number for number in range(start_at, start_at + count)])


def values_at(addr: str) -> list[bytes]:
    with connect(addr, timeout=30) as client:
        return [value for batch in client.consume() for value in batch.values()]


def test_the_job_into_sqlite_has_every_record_once(agent: AgentProcess, tmp_path: Path) -> None:
    fill(agent.rpc_addr, 0, 20_000)
    database = tmp_path / "records.db"
    for moment in (0.6, 0.9, 1.2):
        job = start("job_into_sqlite.py", database, addr=agent.rpc_addr)
        time.sleep(moment)  # wherever it is then
        killed(job)
    job = start("job_into_sqlite.py", database, addr=agent.rpc_addr)
    agent.kill()
    agent.start()

    assert finish(job) == "20000 records\n"
    rows = sqlite3.connect(database).execute("SELECT value FROM records ORDER BY sequence").fetchall()
    assert [value for (value,) in rows] == [b"%06d" % number for number in range(20_000)]


def test_the_nightly_job_misses_nothing_and_repeats_nothing_when_it_ends_in_order(
    agent: AgentProcess, tmp_path: Path, eventually_sync: EventuallySync
) -> None:
    out = tmp_path / "out"
    fill(agent.rpc_addr, 0, 3_000)
    job = start("nightly_job.py", "nightly", out, "--follow", addr=agent.rpc_addr)
    eventually_sync(lambda: out.exists() and out.read_bytes().count(b"\n") >= 3_000, timeout=60)
    agent.kill()
    agent.start()
    fill(agent.rpc_addr, 3_000, 1_000)
    eventually_sync(lambda: out.read_bytes().count(b"\n") >= 4_000, timeout=60)
    job.send_signal(signal.SIGTERM)
    assert finish(job) == "4000 records\n"
    fill(agent.rpc_addr, 4_000, 10)
    assert finish(start("nightly_job.py", "nightly", out, addr=agent.rpc_addr)) == "10 records\n"
    assert out.read_bytes().split() == [b"%06d" % number for number in range(4_010)]

    killed(start("nightly_job.py", "nightly", out, addr=agent.rpc_addr))
    finish(start("nightly_job.py", "nightly", out, addr=agent.rpc_addr))
    assert set(out.read_bytes().split()) == {b"%06d" % number for number in range(4_010)}


def test_the_bridge_misses_nothing_and_marks_what_may_be_double(
    tmp_path: Path, eventually_sync: EventuallySync
) -> None:
    with AgentProcess("source", tmp_path) as source, AgentProcess("target", tmp_path) as target:
        fill(source.rpc_addr, 0, 5_000)
        bridge = start("bridge.py", source.rpc_addr, target.rpc_addr, "copy")
        eventually_sync(lambda: len(values_at(target.rpc_addr)) > 500, timeout=60)
        killed(bridge)
        bridge = start("bridge.py", source.rpc_addr, target.rpc_addr, "copy")
        target.kill()
        target.start()
        source.kill()
        source.start()
        fill(source.rpc_addr, 5_000, 500)
        eventually_sync(lambda: len(set(values_at(target.rpc_addr))) == 5_500, timeout=90)
        bridge.send_signal(signal.SIGTERM)
        finish(bridge)

        seen: dict[bytes, None] = {}
        with connect(target.rpc_addr) as client:
            for batch in client.consume():
                for record in batch.records():
                    seen.setdefault(dict(record.headers)["bridged-from"])
        assert len(seen) == 5_500
        assert list(dict.fromkeys(values_at(target.rpc_addr))) == [b"%06d" % number for number in range(5_500)]


def test_the_web_service_answers_what_is_durable_and_drains(agent: AgentProcess) -> None:
    service = start("web_service.py", addr=agent.rpc_addr, WEB_PORT="0")
    assert service.stdout is not None
    url = service.stdout.readline().split()[-1]
    answered = [body for number in range(20) if post(url, body := b"before %d" % number) == 201]
    assert len(answered) == 20
    agent.kill()
    assert post(url, b"lost") in (500, 503)
    agent.start()
    deadline = time.monotonic() + 60
    while (status := post(url, b"after")) != 201:
        assert status in (500, 503)
        assert time.monotonic() < deadline
    service.send_signal(signal.SIGTERM)

    assert "records acknowledged" in finish(service)
    values = values_at(agent.rpc_addr)
    assert [value for value in values if value.startswith(b"before")] == answered
    assert values.count(b"after") >= 1


def post(url: str, body: bytes) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST"), timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as exc:
        return exc.code


def test_the_script_writes_and_counts(agent: AgentProcess) -> None:
    assert finish(start("words.py", "a b", "b c b", addr=agent.rpc_addr)).split() == ["3", "b", "1", "a", "1", "c"]
    agent.kill()
    script = start("words.py", "x", addr=agent.rpc_addr)
    out, errors = script.communicate(timeout=60)
    assert (script.returncode, out) == (1, "")
    assert errors.startswith("error: ")
    assert "Traceback" not in errors
