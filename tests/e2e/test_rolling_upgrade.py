"""Agents of the release before and of this one in one cluster, then all of this one, and what the way back says."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from proglog.testing.processes import AgentProcess

ROOT = Path(__file__).resolve().parents[2]
BEFORE = "438b071"
"""The last commit whose agents wrote format 1."""
LIMIT = 60.0


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the release before; what it depends on is installed."""
    place = tmp_path_factory.mktemp("before")
    archive = subprocess.run(["git", "archive", BEFORE, "proglog"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"the history does not reach back to {BEFORE}: {archive.stderr.decode()[:200]}")
    subprocess.run(["tar", "x", "-C", str(place)], input=archive.stdout, check=True)
    return place


class Release:
    def __init__(self, package: Path) -> None:
        self.environ = {**os.environ, "PYTHONPATH": str(package)}

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "proglog", *arguments]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=LIMIT, env=self.environ, check=False
        )

    @contextmanager
    def agent(self, name: str, data_dir: Path, ports: tuple[int, int], seed: str = "") -> Iterator[str]:
        """An agent, ended in order; its address."""
        rpc, gossip = ports
        flags = ["--node-name", name, "--data-dir", str(data_dir), "--rpc-port", str(rpc)]
        flags += ["--bind-addr", f"127.0.0.1:{gossip}", *(["--start-join-addrs", seed] if seed else [])]
        with (data_dir.parent / f"{name}.telemetry").open("a") as errors:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "proglog", "serve", *flags],
                stdout=subprocess.PIPE, stderr=errors, text=True, env=self.environ,
            )  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready ")
            yield f"127.0.0.1:{rpc}"
            process.terminate()
            assert process.wait(LIMIT) == 0
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_an_upgrade_node_by_node_keeps_every_record_and_every_sentence_is_clear(
    before: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    old, new = Release(before), Release(ROOT)
    ports = {name: (free_port(), free_port()) for name in "ab"}
    seed = f"127.0.0.1:{ports['a'][1]}"

    def values(addr: str) -> set[str]:
        return set(new.run("consume", "--addr", addr).stdout.split())

    with ExitStack() as agents:
        a = agents.enter_context(old.agent("a", tmp_path / "a", ports["a"]))
        with new.agent("b", tmp_path / "b", ports["b"], seed) as b:
            assert old.run("produce", "--addr", a, stdin="1\n2\n3\n").returncode == 0
            assert new.run("produce", "--addr", b, stdin="4\n5\n").returncode == 0
            eventually(lambda: values(b) == set("12345"))

            # Each release's command reads the other's agents.
            for cli, addr in ((old, b), (new, a)):
                shown = json.loads(cli.run("members", "--addr", addr, "-o", "json").stdout)
                listed = shown["items"] if isinstance(shown, dict) else shown  # a list in the earlier release
                assert {each["name"]: each["status"] for each in listed} == {"a": "alive", "b": "alive"}
            eventually(lambda: "upgrade that node" in new.run("check", "--addr", a).stdout)
            assert values(a) == set("123")

            agents.close()  # the old one ends; its directory is carried over
            with new.agent("a", tmp_path / "a", ports["a"], f"127.0.0.1:{ports['b'][1]}"):
                eventually(lambda: values(a) == set("12345"))
                eventually(lambda: new.run("check", "--addr", b).returncode == 0)
                assert new.run("check", "--addr", a).returncode == 0

                # The way back: a new directory of the release before, and the records as text.
                with old.agent("c", tmp_path / "c", (free_port(), free_port())) as c:
                    records = new.run("consume", "-o", "jsonl", "--addr", b).stdout
                    assert new.run("produce", "--format", "jsonl", "--addr", c, stdin=records).returncode == 0
                    assert values(c) == set("12345")

    # Its agents change nothing in a directory of this release, which they cannot open.
    files = {path: path.read_bytes() for path in (tmp_path / "a").iterdir() if path.name != "LOCK"}
    flags = ("--node-name", "a", "--bind-addr", seed, "--rpc-port", str(ports["a"][0]))
    back = old.run("serve", "--data-dir", str(tmp_path / "a"), *flags)
    assert back.returncode != 0
    assert {path: path.read_bytes() for path in (tmp_path / "a").iterdir() if path.name != "LOCK"} == files


LATER = "from proglog.record import batch; batch.VERSION += 1"
"""A release whose batches this one cannot read."""


def test_a_source_that_cannot_be_read_is_a_finding_whose_age_outlives_reconnects(tmp_path: Path) -> None:
    """Each attempt looks like a beginning: the stream opens, and a moment later it is refused."""
    new, started = Release(ROOT), time.monotonic()
    run = "import sys; sys.argv = ['proglog', *sys.argv[4:]]; from proglog.__main__ import main; main()"

    def attempts() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in here.telemetry.read_text().splitlines()]
        return [line for line in lines if line["event"] == "replication_error"]

    with AgentProcess("later", tmp_path, command=(sys.executable, "-c", f"{LATER}\n{run}")) as source:
        assert new.run("produce", "--addr", source.rpc_addr, stdin="1\n2\n").returncode == 0
        with AgentProcess("here", tmp_path, seeds=(source.gossip_addr,)) as here:
            eventually(lambda: bool(attempts()))
            since = time.monotonic()
            eventually(lambda: len(attempts()) >= 6)
            lasted = time.monotonic() - since

            checked = new.run("check", "--addr", here.rpc_addr, "-o", "json")

            (found,) = (each for each in json.loads(checked.stdout)["findings"] if each["rule"] == "stream-down")
            assert checked.returncode == 1
            assert lasted * 1000 <= found["since_ms"] <= (time.monotonic() - started) * 1000
            assert found["subject"] == "later"
            assert "upgrade" in found["cause"]
            assert ", for " in found["cause"]  # so many seconds, after five of them
