"""The clients and readers in `examples/`, run where their language is: against the vectors, agents and a directory."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proglog.client import Cursor, Record, connect
from proglog.testing.cluster import LocalCluster

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 180.0
needs_go = pytest.mark.skipif(not shutil.which("go"), reason="there is no go here")
needs_java = pytest.mark.skipif(not shutil.which("mvn"), reason="there is no maven here")
needs_node = pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm here")
pytestmark = pytest.mark.timeout(600)


def run(*command: str, cwd: Path, **variables: str) -> str:
    result = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=LIMIT, env=os.environ | variables, check=False
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout


def copied(language: str, place: Path) -> Path:
    """The example, and what it looks for beside itself."""
    for part in (f"examples/{language}", "testdata", "proto"):
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("gen", "node_modules", "target"))
    return place / "examples" / language


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated without a flag but the place, and built."""
    place = copied("go", tmp_path_factory.mktemp("go"))
    tools = place / "tools"
    for plugin in (
        "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.6",
        "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1",
    ):
        try:
            run("go", "install", plugin, cwd=place, GOBIN=str(tools), GOFLAGS="-mod=mod")
        except (AssertionError, subprocess.TimeoutExpired) as exc:
            pytest.skip(f"Go's plugin for protoc cannot be had here: {exc}")
    (place / "gen").mkdir()
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    run(
        sys.executable, "-m", "grpc_tools.protoc", "-I", str(ROOT / "proto"), "--go_out=gen", "--go-grpc_out=gen",
        *protos, cwd=place, PATH=f"{tools}:{os.environ['PATH']}",
    )  # fmt: skip
    run("go", "build", "-o", "bin/", "./client", "./reader", cwd=place)
    return place


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = copied("node", tmp_path_factory.mktemp("node"))
    try:
        run("npm", "install", "--silent", "--no-audit", "--no-fund", cwd=place)
    except (AssertionError, subprocess.TimeoutExpired) as exc:
        pytest.skip(f"gRPC for Node cannot be had here: {exc}")
    return place


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated and compiled without a flag."""
    place = copied("java", tmp_path_factory.mktemp("java"))
    try:
        run("mvn", "-q", "-B", "dependency:go-offline", cwd=place)
    except (AssertionError, subprocess.TimeoutExpired) as exc:
        pytest.skip(f"gRPC for Java cannot be had here: {exc}")
    run("mvn", "-q", "-B", "compile", cwd=place)
    run("mvn", "-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile=classpath", cwd=place)
    return place


@pytest.fixture
def client(request: pytest.FixtureRequest) -> tuple[list[str], Path]:
    place: Path = request.getfixturevalue(request.param)
    if request.param == "java":
        classes = f"{place / 'target/classes'}:{(place / 'classpath').read_text().strip()}"
        return ["java", "-cp", classes, "example.Client"], place
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
    produce = [*command, "produce", a.rpc_addr, str(count)]
    if command[0] == "java":  # whose example has no producer that tries again
        (place / "lines").write_text("".join(f"{number}\n" for number in range(count)))
        produce = [sys.executable, "-m", "proglog", "produce", "lines", "--addr", a.rpc_addr]
    producer = await asyncio.create_subprocess_exec(*produce, cwd=place)
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
async def test_a_reader_in_go_prints_a_directory_as_consume_does(go: Path, tmp_path: Path) -> None:
    """Values, keys, headers and times of two origins, a gap of neither, commits among them."""
    total = 100_000 if os.environ.get("PROGLOG_LONG") else 6_000
    with LocalCluster(tmp_path, "ab", flags={"segment-bytes": "1048576"}) as cluster:
        for name in "ab":
            async with connect(cluster[name].rpc_addr) as client:
                async with client.producer(batch_bytes=4_000) as producer:
                    for number in range(total // 2):
                        await producer.send(_record(name, number))
                await client.commit_position(f"of {name}", Cursor({}), acks=1)
        await cluster.converged()
        printed = run(
            sys.executable, "-m", "proglog", "consume", "--addr", cluster["a"].rpc_addr, "-o", "json", cwd=ROOT
        )
        directory = cluster["a"].directory / "a"

    read = run(str(go / "bin/reader"), str(directory), cwd=go)

    ours, theirs = (list(map(json.loads, text.splitlines())) for text in (printed, read))
    assert len(ours) == total
    assert ours == theirs


def _record(name: str, number: int) -> Record:
    return Record(
        value=b"%d" % number if number % 3 else bytes((0xFF, number % 256)),
        key=name.encode() if number % 2 else None,
        timestamp_ms=1_700_000_000_000 + number % 7,
        headers=(("trace", b"%d" % number), ("é", b"\xff")) if number % 5 == 0 else (),
    )
