"""Peers started for one run, on free ports of loopback and in a directory that goes with it; or those of an address.

A context manager a peer: it yields a :class:`~benchmarks.peers.work.Peer`, or raises
:class:`~benchmarks.peers.work.Unavailable` and says what is missing.
"""

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.peers.work import (
    CALLS_IN,
    FILE_IN,
    FILE_OUT,
    ONE,
    VALUES_OUT,
    Job,
    Peer,
    Unavailable,
    Way,
    client,
    process,
    said,
)
from proglog.testing.ports import free_port
from proglog.testing.processes import AgentProcess

KAFKA = "4.1.1"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>benchmark</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA}</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{KAFKA}</version></dependency>
</dependencies></project>
"""
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={directory}
num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.flush.interval.messages=1
"""
START = 60.0
"""Seconds in which a server has to answer."""


@contextlib.contextmanager
def proglog(directory: Path, addr: str) -> Iterator[Peer]:
    """Run an agent without TLS, since the others have none; a log of its own for each topic."""
    del addr
    with contextlib.ExitStack() as agents:
        started: dict[str, AgentProcess] = {}

        def at(job: Job, topic: str) -> str:
            if topic not in started:
                for name, older in started.items():
                    if not name.startswith(job.name):
                        older.kill()  # of a round that is over
                started[topic] = agents.enter_context(AgentProcess(topic, directory))
            return started[topic].rpc_addr

        def verb(job: Job, *words: str) -> list[str]:
            return [sys.executable, "-m", "proglog", *words, "--addr", at(job, job.name)]

        def read(work: str, job: Job) -> float:
            return client(work, at(job, job.name), "", job.count, job.record_bytes)

        yield Peer(
            "proglog",
            "as it comes: a sync before each answer; no TLS",
            {
                FILE_IN: [Way("produce FILE", lambda job: process(verb(job, "produce", str(job.source)), job.count))],
                FILE_OUT: [
                    Way("consume > FILE", lambda job: process(verb(job, "consume"), job.count, out=_out(directory)))
                ],
                CALLS_IN: [
                    Way(
                        "Producer.send",
                        lambda job: client("proglog-calls", at(job, job.calls), "", job.count, job.record_bytes),
                    )
                ],
                VALUES_OUT: [Way(f".{what}()", partial(read, f"proglog-{what}")) for what in ("values", "records")],
                ONE: [
                    Way(
                        "Produce", lambda job: client("proglog-one", at(job, job.calls), "", job.ones, job.record_bytes)
                    )
                ],
            },
        )


@contextlib.contextmanager
def kafka(directory: Path, addr: str) -> Iterator[Peer]:
    """Run a broker of Kafka in KRaft mode: its jars are fetched by Maven once, and kept in the user's cache."""
    tools = _jars(needed=not addr)
    with contextlib.nullcontext(addr) if addr else _kafka_broker(directory, tools) as at:
        ways: dict[str, list[Way]] = {path: [] for path in (FILE_IN, FILE_OUT, CALLS_IN, VALUES_OUT, ONE)}
        missing = []
        if shutil.which("kcat"):
            acks = ("-X", "acks=all", "-X", "queue.buffering.max.messages=1000000")
            ways[FILE_IN].append(
                Way("kcat -P -l", lambda job: process(
                    ["kcat", "-P", "-q", "-b", at, "-t", job.name, *acks, "-l", job.source], job.count))
            )  # fmt: skip
            ways[FILE_OUT].append(
                Way("kcat -C", lambda job: process(
                    ["kcat", "-C", "-q", "-b", at, "-t", job.name, "-o", "beginning", "-e"], job.count, out=_out(directory)))
            )  # fmt: skip
        else:
            missing.append("kcat is not installed")
        if importlib.util.find_spec("confluent_kafka"):
            ways[CALLS_IN].append(Way("confluent-kafka", _calls("kafka-calls", at)))
            ways[VALUES_OUT].append(Way("confluent-kafka", _values("kafka-values", at)))
            ways[ONE].append(Way("confluent-kafka", _ones("kafka-one", at)))
        else:
            missing.append("the Python client confluent-kafka is not installed")
        if tools:
            ways[CALLS_IN].append(Way("kafka-producer-perf-test", partial(_producer_tool, tools, at)))
            ways[VALUES_OUT].append(Way("kafka-consumer-perf-test", partial(_consumer_tool, tools, at)))
        settings = "as it is at that address" if addr else f"{KAFKA}, KRaft, flush.messages=1, 1 GB of heap"
        yield Peer("Kafka", f"{settings}; acks=all, no TLS", ways, missing)


@contextlib.contextmanager
def redis(directory: Path, addr: str) -> Iterator[Peer]:
    """Run a Redis that syncs its append-only file before each answer."""
    command = ["redis-server", "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(directory)]
    with contextlib.nullcontext(addr) if addr else _server(command, "--port") as at:
        port = at.rpartition(":")[2]
        missing, ways = [], dict[str, list[Way]]()
        if importlib.util.find_spec("redis"):
            ways = {
                CALLS_IN: [Way("redis-py, pipelines of 1,000", _calls("redis-calls", at))],
                VALUES_OUT: [
                    Way(
                        "redis-py, xrange",
                        lambda job: client("redis-values", at, job.calls, job.count, job.record_bytes),
                    )
                ],
                ONE: [Way("redis-py", _ones("redis-one", at))],
            }
        else:
            missing.append("the Python client redis is not installed")
        if shutil.which("redis-benchmark"):
            ways.setdefault(CALLS_IN, []).append(Way("redis-benchmark -c 50 -P 100", partial(_redis_tool, port)))
        else:
            missing.append("redis-benchmark is not installed")
        settings = "as it is at that address" if addr else f"{_version('redis-server')}, appendfsync always"
        yield Peer("Redis streams", f"{settings}; the log is in memory, no TLS", ways, missing)


@contextlib.contextmanager
def nats(directory: Path, addr: str) -> Iterator[Peer]:
    """Run a NATS server with JetStream on disk."""
    command = ["nats-server", "-a", "127.0.0.1", "-js", "-sd", str(directory / "nats")]
    with contextlib.nullcontext(addr) if addr else _server(command, "-p") as at:
        missing, ways = [], dict[str, list[Way]]()
        if importlib.util.find_spec("nats"):
            ways = {
                CALLS_IN: [
                    Way(
                        "nats-py, 4,096 at a time",
                        lambda job: client("nats-calls", at, job.calls, job.few, job.record_bytes),
                    )
                ],
                VALUES_OUT: [
                    Way("nats-py, ordered", lambda job: client("nats-values", at, job.calls, job.few, job.record_bytes))
                ],
                ONE: [Way("nats-py", _ones("nats-one", at))],
            }
        else:
            missing.append("the Python client nats-py is not installed")
        if shutil.which("nats"):
            ways.setdefault(CALLS_IN, []).append(Way("nats bench", partial(_nats_tool, at)))
        else:
            missing.append("its own tool, nats bench, is not installed")
        settings = "as it is at that address" if addr else f"{_version('nats-server')}, JetStream"
        yield Peer("NATS", f"{settings}, file storage, a sync every two minutes; no TLS", ways, missing)


PEERS: dict[str, Callable[[Path, str], contextlib.AbstractContextManager[Peer]]] = {
    "kafka": kafka,
    "redis": redis,
    "nats": nats,
}


def _calls(work: str, addr: str) -> Callable[[Job], float]:
    return lambda job: client(work, addr, job.calls, job.count, job.record_bytes)


def _values(work: str, addr: str) -> Callable[[Job], float]:
    return lambda job: client(work, addr, job.name, job.count, job.record_bytes)


def _ones(work: str, addr: str) -> Callable[[Job], float]:
    return lambda job: client(work, addr, f"{job.name}-one", job.ones, job.record_bytes)


def _out(directory: Path) -> Path:
    return directory / "out"


@contextlib.contextmanager
def _server(command: Sequence[str], port_flag: str) -> Iterator[str]:
    """Run a server until the block ends; yield its address once it takes connections."""
    if not shutil.which(command[0]):
        raise Unavailable(f"{command[0]} is not installed")
    port = free_port()
    with subprocess.Popen(
        [*command, port_flag, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            _wait_for(port, server)
            yield f"127.0.0.1:{port}"
        finally:
            server.kill()


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError as exc:
            if server.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"{server.args!r:.80} does not answer: {exc}") from exc
            time.sleep(0.1)
        else:
            return


def _version(command: str) -> str:
    return said([command, "--version"]).splitlines()[0].partition(" sha=")[0]


def _jars(*, needed: bool) -> Path | None:
    """Return where Kafka's jars are, fetched if need be; ``None``: they are not, and only its tools would need them."""
    cache = Path.home() / ".cache" / "proglog-benchmarks" / f"kafka-{KAFKA}"
    if not (cache / "whole").exists():
        lacks = next((each for each in ("java", "mvn") if not shutil.which(each)), "")
        if lacks and needed:
            raise Unavailable(f"{lacks} is not installed")
        if lacks:
            return None
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "pom.xml").write_text(POM)
        fetch = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={cache / 'jars'}"]
        done = subprocess.run(fetch, cwd=cache, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise Unavailable(f"Maven cannot fetch Kafka {KAFKA}: {done.stdout.strip()[:200]}")
        (cache / "whole").touch()
    return cache / "jars"


def _java(tools: Path, name: str, *arguments: str | Path, heap: str = "512m") -> list[str]:
    return ["java", f"-Xmx{heap}", f"-Xms{heap}", "-cp", f"{tools}/*", name, *map(str, arguments)]


@contextlib.contextmanager
def _kafka_broker(directory: Path, tools: Path | None) -> Iterator[str]:
    assert tools is not None  # they were needed
    port, controller = free_port(), free_port()
    properties = directory / "kafka.properties"
    properties.write_text(PROPERTIES.format(port=port, controller=controller, directory=directory / "kafka"))
    said(
        _java(
            tools,
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            "-t",
            "benchmarkbenchmarkbench",
            "-c",
            properties,
        )
    )
    command = _java(tools, "kafka.Kafka", properties, heap="1g")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(port, server)
            yield f"127.0.0.1:{port}"
        finally:
            server.kill()


def _producer_tool(tools: Path, addr: str, job: Job) -> float:
    flags = ("--topic", f"{job.name}-tool", "--num-records", str(job.count), "--record-size", str(job.record_bytes))
    settings = (f"bootstrap.servers={addr}", "acks=all", "batch.size=1000000", "linger.ms=5")
    command = _java(
        tools, "org.apache.kafka.tools.ProducerPerformance", *flags, "--throughput", "-1", "--producer-props", *settings
    )
    return float(said(command).strip().splitlines()[-1].split(" records/sec")[0].split()[-1])


def _consumer_tool(tools: Path, addr: str, job: Job) -> float:
    flags = ("--bootstrap-server", addr, "--topic", job.name, "--messages", str(job.count), "--timeout", "60000")
    head, *_, row = said(_java(tools, "org.apache.kafka.tools.ConsumerPerformance", *flags)).strip().splitlines()
    rate = float(row.split(", ")[head.split(", ").index("nMsg.sec")])
    if not rate:
        raise RuntimeError(f"kafka-consumer-perf-test read nothing: {row}")
    return rate


def _redis_tool(port: str, job: Job) -> float:
    data = "x" * job.record_bytes
    flags = ("-p", port, "-n", str(job.count), "-c", "50", "-P", "100", "-q")
    printed = said(["redis-benchmark", *flags, "XADD", f"{job.name}-tool", "*", "v", data])
    return float(printed.rpartition(" requests per second")[0].split()[-1])


def _nats_tool(addr: str, job: Job) -> float:
    topic = f"{job.name}-tool"
    flags = ("--js", "--pub", "1", "--msgs", str(job.count), "--size", str(job.record_bytes), "--no-progress")
    printed = said(["nats", "-s", f"nats://{addr}", "bench", topic, "--stream", topic, "--subjects", topic, *flags])
    line = next(each for each in printed.splitlines() if "msgs/sec" in each)
    return float(line.partition(" msgs/sec")[0].split()[-1].replace(",", ""))
