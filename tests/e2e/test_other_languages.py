"""The clients and readers in `examples/`, run where their language is: against the vectors, agents and a directory."""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proglog.client import Record
from proglog.log.config import LogConfig
from proglog.log.log import Log
from proglog.log.model import ImportAppend, LocalAppend
from proglog.record import batch, columns, control, scan
from proglog.record.batch import VerifiedBatch, verify
from proglog.replication.holes import Over
from proglog.testing.cluster import LocalCluster
from proglog.testing.processes import AgentProcess
from proglog.types import NodeName, SequenceNumber

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 180.0
LONG = pytest.mark.skipif("os.environ.get('PROGLOG_LONG') != '1'", reason="a long variant: PROGLOG_LONG=1")
MAX_RSS_MIB = 170
"""Of an agent with two thousand streams of one connection; 72 without."""
needs_go = pytest.mark.skipif(not shutil.which("go"), reason="there is no go here")
needs_java = pytest.mark.skipif(not shutil.which("mvn"), reason="there is no maven here")
needs_node = pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm here")
pytestmark = pytest.mark.timeout(600)


JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For programs that end before a better compiler would pay."""


def run(*command: str, cwd: Path, **variables: str) -> str:
    """Run it with the caches of this user, which hold what Go compiled before; tests of proglog have one of their own."""
    environ = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"} | variables
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=LIMIT, env=environ, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout


def built(language: str, build: Callable[[Path], None]) -> Path:
    """The example, built once for what it is made of: by the first test of the first run that needs it.

    What it looks for beside itself is there, too. It is kept in ``.tools``, which git ignores; a lock keeps tests of other
    processes from building it at the same time.
    """
    parts = (f"examples/{language}", "testdata", "proto")
    sources = [path for part in parts for path in sorted((ROOT / part).rglob("*")) if _is_source(path)]
    digest = hashlib.sha256()
    for path in sources:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    places = ROOT / ".tools" / "built"
    place = places / f"{language}-{digest.hexdigest()[:16]}"
    places.mkdir(parents=True, exist_ok=True)
    with (places / f"{language}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "whole").exists():
            for old in places.glob(f"{language}-*"):
                shutil.rmtree(old)
            for path in sources:
                target = place / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
            build(place / "examples" / language)
            (place / "whole").touch()
    return place / "examples" / language


def _is_source(path: Path) -> bool:
    return path.is_file() and not {"gen", "node_modules", "target", "bin"} & set(path.relative_to(ROOT).parts)


def fetched(what: str, *command: str, cwd: Path, **variables: str) -> None:
    """Run what loads from a registry; skip the test where that cannot be reached."""
    try:
        run(*command, cwd=cwd, **variables)
    except (AssertionError, subprocess.TimeoutExpired) as exc:
        pytest.skip(f"{what} cannot be had here: {exc}")


@pytest.fixture(scope="module")
def go() -> Path:
    """Generated without a flag but the place, and built."""

    def build(place: Path) -> None:
        tools = place / "tools"
        for plugin in (
            "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.6",
            "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1",
        ):
            fetched("Go's plugin for protoc", "go", "install", plugin, cwd=place, GOBIN=str(tools), GOFLAGS="-mod=mod")
        (place / "gen").mkdir()
        protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
        run(
            sys.executable, "-m", "grpc_tools.protoc", "-I", str(ROOT / "proto"), "--go_out=gen", "--go-grpc_out=gen",
            *protos, cwd=place, PATH=f"{tools}:{os.environ['PATH']}",
        )  # fmt: skip
        run("go", "build", "-o", "bin/", "./client", "./reader", cwd=place)

    return built("go", build)


@pytest.fixture(scope="module")
def node() -> Path:
    def build(place: Path) -> None:
        fetched("gRPC for Node", "npm", "install", "--silent", "--no-audit", "--no-fund", cwd=place)

    return built("node", build)


@pytest.fixture(scope="module")
def java() -> Path:
    """Generated and compiled without a flag, in one run of Maven: its start is most of what it costs."""

    def build(place: Path) -> None:
        compile_ = ("mvn", "-q", "-B", "compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath")
        offline = subprocess.run(
            [*compile_, "-o"], cwd=place, capture_output=True, timeout=LIMIT, check=False,
            env=os.environ | {"MAVEN_OPTS": JVM},
        )  # fmt: skip
        if offline.returncode:
            fetched("gRPC for Java", "mvn", "-q", "-B", "dependency:go-offline", cwd=place)
            run(*compile_, cwd=place, MAVEN_OPTS=JVM)

    return built("java", build)


@pytest.fixture
def client(request: pytest.FixtureRequest) -> tuple[list[str], Path]:
    place: Path = request.getfixturevalue(request.param)
    if request.param == "java":
        classes = f"{place / 'target/classes'}:{(place / 'classpath').read_text().strip()}"
        return ["java", *JVM.split(), "-cp", classes, "example.Client"], place
    return ([str(place / "bin/client")] if request.param == "go" else ["node", "client.mjs"]), place


GO, NODE, JAVA = (
    pytest.param("go", marks=needs_go),
    pytest.param("node", marks=needs_node),
    pytest.param("java", marks=needs_java),
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path, "ab") as started:
        yield started


@needs_go
def test_go_agrees_with_the_vectors(go: Path) -> None:
    assert "ok" in run("go", "test", "./format", cwd=go)


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node here")
def test_node_agrees_with_the_vectors() -> None:
    assert "the vectors agree" in run("node", "check.mjs", cwd=ROOT / "examples/node")


@pytest.mark.parametrize("client", [GO, NODE, JAVA], indirect=True)
def test_the_calls_that_a_client_needs_are_answered(client: tuple[list[str], Path], cluster: LocalCluster) -> None:
    command, place = client
    said = run(*command, "calls", cluster["a"].rpc_addr, cwd=place)

    assert "Log.GetServers 2" in said
    assert "LOG_STATE_OK" in said
    assert "Cluster.Watch a" in said
    assert "Positions.List 3" in said
    assert "an error Out" in said or "an error OUT_OF_RANGE" in said
    assert said.count("record ") == 11


@pytest.mark.parametrize("client", [GO, NODE, JAVA], indirect=True)
async def test_a_consumer_and_a_producer_outlive_a_killed_agent(
    client: tuple[list[str], Path], cluster: LocalCluster
) -> None:
    """The consumer's agent, then the producer's, which comes back with the same log: every record once."""
    command, place = client
    count = 20_000
    a, b = cluster["a"], cluster["b"]
    consumer = await asyncio.create_subprocess_exec(
        *command, "consume", f"{b.rpc_addr},{a.rpc_addr}", str(count), cwd=place, stdout=asyncio.subprocess.PIPE
    )
    producer = await asyncio.create_subprocess_exec(*command, "produce", a.rpc_addr, str(count), cwd=place)
    assert consumer.stdout is not None
    seen: list[int] = []

    async def read(until: int) -> None:
        assert consumer.stdout is not None
        while len(seen) < until:
            line = (await consumer.stdout.readline()).decode()
            assert line.startswith("record "), line
            seen.append(int(line.split()[1]))

    async with asyncio.timeout(LIMIT):
        await read(2000)
        b.kill()
        await read(6000)
        a.kill()
        await asyncio.to_thread(a.start)
        await read(count)
        assert await producer.wait() == 0
        assert await consumer.wait() == 0

    assert sorted(seen) == list(range(count))


@needs_go
def test_a_reader_in_go_prints_a_directory_as_consume_does(go: Path, tmp_path: Path) -> None:
    """Values, keys, headers and times of two origins, a gap in one of them, commits among them: 100,000 records."""
    agent = AgentProcess("a", tmp_path)
    lost = fill(tmp_path / "a", TOTAL)

    with agent:
        printed = run(sys.executable, "-m", "proglog", "consume", "--addr", agent.rpc_addr, "-o", "jsonl", cwd=ROOT)
        agent.stop()
    read = run(str(go / "bin/reader"), str(tmp_path / "a"), cwd=go)

    ours, theirs = (list(map(json.loads, text.splitlines())) for text in (printed, read))
    assert lost > 0
    assert len(ours) == TOTAL
    assert ours == theirs


TOTAL = 100_000
BATCH = 50


def fill(directory: Path, total: int) -> int:
    """Make a directory with ``total`` records, half of them of another origin; return how many of those a gap replaced."""
    config = LogConfig(segment_bytes=1 << 20)
    source = Log.open(directory.with_name("source"), config, node_name=NodeName("b"))
    log = Log.open(directory, config, node_name=NodeName("a"))
    each = total // 2 // BATCH
    missing = range(each // 2, each // 2 + 9)
    source.append([LocalAppend(_batch("b", number)) for number in range(each + len(missing))])
    theirs = scan.batches(source.read(source.seek_sequence(source.origin, SequenceNumber(1)), 1 << 26).data)
    log.append([ImportAppend(next(theirs))])  # the start of its origin
    for number, copied in enumerate(theirs):
        if number in missing:
            continue
        own = min(number, number - len(missing)) if number >= missing.stop else number
        over = Over("retention removed them", removed=True) if number == missing.stop else None
        log.append([ImportAppend(copied, over), LocalAppend(_batch("a", own))])
        if number % 100 == 0:
            commit = control.position_commit(f"of {number}", 0, {source.origin: copied.header.next_sequence}, now_ms=7)
            log.append([LocalAppend(verify(commit))])
    source.close()
    log.close()
    return len(missing) * BATCH


def _batch(name: str, number: int) -> VerifiedBatch:
    records = [_record(name, number * BATCH + each) for each in range(BATCH)]
    times = [record.timestamp_ms or 0 for record in records]
    payload = columns.from_records(records, times)
    return verify(batch.encode(payload, count=BATCH, first_timestamp_ms=times[0], max_timestamp_ms=max(times)))


def _record(name: str, number: int) -> Record:
    return Record(
        value=b"%d" % number if number % 3 else bytes((0xFF, number % 256)),
        key=name.encode() if number % 2 else None,
        timestamp_ms=1_700_000_000_000 + number % 7,
        headers=(("trace", b"%d" % number), ("é", b"\xff")) if number % 5 == 0 else (),
    )


@needs_node
@pytest.mark.parametrize(("calls", "streams"), [(600, 300), pytest.param(2000, 1000, marks=LONG)])
def test_thousands_of_calls_from_node_on_one_connection_are_answered(
    node: Path, tmp_path: Path, calls: int, streams: int
) -> None:
    flood = node / f"flood-{os.getpid()}.mjs"
    shutil.copy(Path(__file__).with_name("flood.mjs"), flood)
    command = ["node", flood.name, "{}", str(calls), str(streams)]
    try:
        with AgentProcess("a", tmp_path) as agent:
            command[2] = agent.rpc_addr
            with subprocess.Popen(
                command, cwd=node, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as running:
                assert running.stdin is not None
                assert running.stdout is not None
                outcomes = json.loads(running.stdout.readline())
                held = next(
                    int(line.split()[1]) / 1024
                    for line in Path(f"/proc/{agent.pid}/status").read_text().splitlines()
                    if line.startswith("VmRSS")
                )
                running.stdin.close()
                assert running.wait(LIMIT) == 0
    finally:
        flood.unlink()
    assert outcomes == {"Batches.Produce": streams, "Log.Produce": calls, "Log.ConsumeStream": streams}
    assert held < MAX_RSS_MIB, held
