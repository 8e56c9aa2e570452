"""The faults that a cluster can have: what `check` says at every node soon after each, and later.

A cluster of three; what is broken is ``c``, or what lies between it and the others. ``a+`` is ``a`` asked with ``--each``.
A long run looks 5 and 65 seconds after the fault, and appends what was said to the file that PROGLOG_FAULTS_TABLE names;
``python -m tests.cluster.faults_page FILE`` makes the page of it. A short run has some of the faults, and its second look
comes as soon as every node says what it should.
"""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import astuple, dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from kit.cluster import GOSSIP_PORT, RPC_PORT, Cluster, Node
from kit.load import History, Load
from kit.patience import patience
from proglog.cli.exit_codes import ExitCode
from proglog.observe.health import Limits, findings
from proglog.security.actions import ACTIONS
from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.security.devrules import create_rules

LONG = os.environ.get("PROGLOG_LONG") == "1"
SOON, LATER, SETTLED_WITHIN = 5.0, 65.0, 60.0
OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
NAMES = ("127.0.0.1",)
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}
CLOCK = """\
import os, time
real_ns, real = time.time_ns, time.time
def shift():
    try:
        with open(os.environ["SHIFTED_CLOCK"]) as file:
            return int(file.read() or 0)
    except FileNotFoundError:
        return 0
time.time_ns = lambda: real_ns() + shift() * 10**9
time.time = lambda: real() + shift()
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A cluster, and what a fault needs to happen to it."""

    cluster: Cluster
    place: Path
    certs: DevCerts
    undo: contextlib.ExitStack

    @property
    def c(self) -> Node:
        """The one that is broken."""
        return self.cluster["c"]


Inject = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Told:
    """What `check` says at a node: its exit code, and words of it."""

    code: int
    words: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, and what each node says of it in the end."""

    name: str
    inject: Inject
    told: Mapping[str, Told]
    secure: bool = False
    """Whether the cluster has TLS and rules."""
    short: bool = False
    """Whether a short run has it, too."""


async def check(node: Node, *words: str) -> Told:
    """Run the verb on the node's host, as an operator does."""
    tls, host = node.tls, node.host
    files = {"ca": tls.ca_file, "cert": tls.cert_file, "key": tls.key_file} if tls else {}
    flags = [part for name, path in files.items() for part in (f"--tls-{name}-file", str(path))]
    asked = ["check", "--addr", f"{host.addr}:{RPC_PORT}", "--disk-free", "0", *words, *flags]
    command = [*host.command, sys.executable, "-m", "proglog", *asked]
    # On a thread: the loop would fork for it, under the threads of this process's gRPC.
    done = await asyncio.to_thread(subprocess.run, command, env=CLEAN, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return Told(done.returncode, done.stdout)


async def look(cluster: Cluster) -> dict[str, Told]:
    """Return what `check` says at every node, and at the first one of all."""
    names = sorted(cluster.nodes)
    asked = [check(cluster[names[0]], "--each"), *(check(cluster[name]) for name in names)]
    return dict(zip((EACH, *names), await asyncio.gather(*asked), strict=True))


def agrees(expected: Mapping[str, Told], told: Mapping[str, Told]) -> bool:
    return all(told[name].code == each.code and each.words in told[name].words for name, each in expected.items())


# The faults


async def killed(scene: Scene) -> None:
    scene.c.agent.kill()


async def stopped(scene: Scene) -> None:
    process = scene.c.agent.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)


async def cut_off(scene: Scene) -> None:
    scene.cluster.partition("ab", "c")


async def mute(scene: Scene) -> None:
    for other in "ab":
        scene.c.host.lose(scene.cluster[other].host)


async def without_udp(scene: Scene) -> None:
    command = ["ip", "-n", scene.c.host.namespace, "rule", "add", "ipproto", "udp", "blackhole", "pref", "50"]
    subprocess.run(command, check=True, capture_output=True)


async def wrong_key(scene: Scene) -> None:
    keys = scene.place / "other.keys"
    keys.write_bytes(base64.b64encode(bytes(range(1, 33))) + b"\n")
    keys.chmod(0o600)
    c = scene.c
    c.agent.stop()
    c.agent.flags = {**c.agent.flags, "encrypt-file": str(keys)}
    await c.start()


async def no_seeds(scene: Scene) -> None:
    c = scene.c
    c.agent.stop()
    (c.data_dir / "members").unlink(missing_ok=True)
    c.agent.seeds = (f"10.77.0.99:{GOSSIP_PORT}",)
    await c.start()


async def wiped(scene: Scene) -> None:
    c = scene.c
    c.agent.kill()
    shutil.rmtree(c.data_dir)
    await c.start()


async def rolled_back(scene: Scene) -> None:
    c = scene.c
    c.agent.kill()
    shutil.copytree(c.data_dir, c.agent.directory / "backup")
    await c.start()
    async with Load([c], History()) as load:
        await load.acknowledged(200)
    await scene.cluster.converged(within=20)
    c.agent.kill()
    shutil.rmtree(c.data_dir)
    (c.agent.directory / "backup").rename(c.data_dir)
    await c.start()


async def damaged(scene: Scene) -> None:
    c = scene.c
    c.agent.kill()
    first = min(c.data_dir.glob("*.log"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 0xFF
    first.write_bytes(data)
    for hint in ((c.data_dir / "durable"), *c.data_dir.glob("*.index")):
        hint.unlink(missing_ok=True)  # so that all of it is read again
    await c.start()


async def trimmed(scene: Scene) -> None:
    """The oldest segment of every node, so that nobody has it."""
    for name in "abc":
        node = scene.cluster[name]
        node.agent.stop()
        min(node.data_dir.glob("*.log")).unlink()
    await asyncio.gather(*(scene.cluster[name].start() for name in "abc"))


async def full(scene: Scene) -> None:
    c = scene.c
    c.agent.stop()
    moved = c.agent.directory / "moved"
    c.data_dir.rename(moved)
    c.data_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", c.data_dir], check=True)
    scene.undo.callback(subprocess.run, ["umount", "-l", c.data_dir], check=True)
    shutil.copytree(moved, c.data_dir, dirs_exist_ok=True)
    await c.start()
    with (c.data_dir / "pad").open("wb") as pad, contextlib.suppress(OSError):
        while True:
            pad.write(bytes(1 << 16))
            pad.flush()
    async with scene.cluster["a"].client() as client, client.producer() as producer:
        await producer.send_values([bytes(4096)] * 256)


async def ended_certificate(scene: Scene) -> None:
    c, lifetime = scene.c, min(patience(5), 45)
    c.agent.stop()
    scene.certs.add_server("own", server_names=(*NAMES, c.host.addr), lifetime=timedelta(seconds=lifetime))
    ends = time.monotonic() + lifetime
    c.agent.flags = {**c.agent.flags, **tls_flags("server", scene.certs.directory, "own")}
    await c.start()
    await asyncio.sleep(max(0.0, ends - time.monotonic()))


async def broken_rules(scene: Scene) -> None:
    (scene.place / "policy-c.csv").write_text("p, root, *\n")


async def jumped(scene: Scene) -> None:
    (scene.place / "shift").write_text(str(86_400))


async def renamed(scene: Scene) -> None:
    """A second node that calls itself ``c``; it ends by itself, before it is ready or soon after."""
    double = await scene.cluster.add("d", node_name="c")
    with contextlib.suppress(AssertionError):
        await double.start()
    if double.agent.process is not None:
        assert await asyncio.to_thread(double.agent.process.wait, patience(20)) == ExitCode.NAME_TAKEN
    double.agent.kill()
    assert "name_lost" in double.agent.telemetry.read_text()


EACH = "a+"
WELL = {name: Told(OK, "nothing needs attention") for name in (EACH, *"abc")}
C_FAILED = {name: Told(CRITICAL, "c failed") for name in (EACH, "a", "b")}
CUT_OFF = {**C_FAILED, "c": Told(CRITICAL, "1 of 3 members alive")}


def of_c(code: int, words: str, *, each: Told | None = None) -> dict[str, Told]:
    """What is said where ``c`` alone has something to say, and ``a`` says the same when it asks all."""
    return {**WELL, "c": Told(code, words), EACH: each or Told(code, words)}


FAULTS = (
    Fault(name="member killed", inject=killed, told={**C_FAILED, "c": Told(UNKNOWN)}),
    Fault(name="member stopped", inject=stopped, told={**C_FAILED, "c": Told(UNKNOWN)}, short=True),
    Fault(name="cut off, both ways", inject=cut_off, told=CUT_OFF),
    Fault(name="cut off, one way", inject=mute, told=CUT_OFF, short=True),
    Fault(
        name="UDP blocked",
        inject=without_udp,
        told={name: Told(WARNING, f"{name[0]} hears nothing over UDP from ") for name in (EACH, *"abc")},
        short=True,
    ),
    Fault(
        name="wrong gossip key",
        inject=wrong_key,
        told={
            **{name: Told(WARNING, "no key of this node opens the message") for name in (EACH, "a", "b")},
            "c": Told(CRITICAL, "c is isolated: no answer"),
        },
    ),
    Fault(
        name="duplicate name",
        inject=renamed,
        told={**WELL, "d": Told(UNKNOWN, "connection refused")},  # the second one has lost the vote and ended
    ),
    Fault(name="seeds gone", inject=no_seeds, told=of_c(WARNING, "c has had no answer from its seed 10.77.0.99")),
    Fault(name="wiped", inject=wiped, told=WELL),
    Fault(name="rolled back", inject=rolled_back, told={**WELL, "c": Told(OK, "c began a new history")}),
    Fault(name="damaged", inject=damaged, told=of_c(WARNING, "c had damage on its disk, and restored the records")),
    Fault(
        name="trimmed everywhere",
        inject=trimmed,
        told={name: Told(CRITICAL, "cannot read") for name in (EACH, *"abc")},
    ),
    Fault(name="disk full", inject=full, told={name: Told(CRITICAL, "c log is full") for name in (EACH, "c")}),
    Fault(
        name="certificate expired",
        inject=ended_certificate,
        told=of_c(UNKNOWN, "has ended", each=Told(WARNING, "c is alive and does not answer")),
        secure=True,
    ),
    Fault(
        name="rules broken",
        inject=broken_rules,
        told=of_c(WARNING, "c refused changed access rules"),
        secure=True,
        short=True,
    ),
    Fault(name="clock set a day on", inject=jumped, told=of_c(WARNING, "c had its clock set: on by 1 d")),
)


def tls_flags(side: str, directory: Path, stem: str) -> dict[str, str]:
    files = {"cert": f"{stem}.pem", "key": f"{stem}-key.pem", "ca": "ca.pem"}
    return {f"{side}-tls-{part}-file": str(directory / name) for part, name in files.items()}


@contextlib.asynccontextmanager
async def opened(fault: Fault, place: Path) -> AsyncGenerator[Scene]:
    """A cluster as the fault wants it, with some records of each node."""
    certs = create_dev_certs(place / "certs", server_names=(*NAMES, *(f"10.77.0.{n}" for n in range(1, 5))))
    keys = place / "gossip.keys"
    keys.write_bytes(base64.b64encode(bytes(range(32))) + b"\n")
    keys.chmod(0o600)
    flags = {"encrypt-file": str(keys), "segment-bytes": "64KiB"}
    if fault.secure:
        model, policy, _ = create_rules(place / "rules", {"root": ACTIONS})
        flags |= tls_flags("server", certs.directory, "server") | tls_flags("peer", certs.directory, "peer")
        flags |= {"acl-model-file": str(model), "acl-policy-file": str(policy)}
        shutil.copy(policy, place / "policy-c.csv")
    (place / "sitecustomize.py").write_text(CLOCK)
    with contextlib.ExitStack() as undo:
        async with Cluster(place, "abc", flags=flags, tls=certs.clients["root"] if fault.secure else None) as cluster:
            c = cluster["c"]
            if fault.secure:
                c.agent.flags = {**c.agent.flags, "acl-policy-file": str(place / "policy-c.csv")}
            c.agent.command = (*c.agent.command, "env", f"PYTHONPATH={place}", f"SHIFTED_CLOCK={place / 'shift'}")
            await cluster.start()
            async with Load(cluster, History()) as load:
                await load.acknowledged(300)
            await cluster.converged(within=20)
            yield Scene(cluster, place, certs, undo)


def note(fault: Fault, soon: Mapping[str, Told], later: Mapping[str, Told]) -> None:
    """Append what was said to the file that is named in the environment, a line of JSON for each node."""
    if table := os.environ.get("PROGLOG_FAULTS_TABLE"):
        with Path(table).open("a") as file:
            for name in later:
                said = {"fault": fault.name, "node": name, "soon": astuple(soon[name]), "later": astuple(later[name])}
                file.write(json.dumps(said) + "\n")


@pytest.mark.parametrize("fault", [each for each in FAULTS if LONG or each.short], ids=lambda fault: fault.name)
async def test_what_check_says_of_a_fault(fault: Fault, tmp_path: Path, long: bool, record_property) -> None:
    async with opened(fault, tmp_path) as scene:
        before = await look(scene.cluster)
        assert {told.code for told in before.values()} == {OK}, before
        await fault.inject(scene)
        at = time.monotonic()
        await asyncio.sleep(SOON)
        soon = await look(scene.cluster)
        while True:
            await asyncio.sleep(LATER - SOON if long else 0.5)
            later = await look(scene.cluster)
            if long or agrees(fault.told, later) or time.monotonic() - at > patience(SETTLED_WITHIN):
                break
        for name in later:
            record_property(f"{fault.name}, {name}", f"{soon[name]} | {later[name]}")
        note(fault, soon, later)
        assert agrees(fault.told, later), later


async def test_a_healthy_cluster_under_load_raises_nothing(open_cluster, long: bool, record_property) -> None:
    """Not a finding at any node in any second, information neither; `check` says so, too."""
    seconds, rate = (60.0, 50_000) if long else (3.0, 5_000)
    values, limits = [b"x" * 100] * 500, Limits(disk_free_ratio=0, disk_free_ratio_critical=0)
    async with open_cluster("abc") as cluster, contextlib.AsyncExitStack() as stack:
        producers = []
        for node in cluster:
            client = await stack.enter_async_context(node.client(timeout=30))
            producers.append(await stack.enter_async_context(client.producer()))
        began, sent, looked = time.monotonic(), 0, 0.0
        while (passed := time.monotonic() - began) < seconds:
            await asyncio.gather(*(producer.send_values(values) for producer in producers))
            sent += len(values) * len(producers)
            if passed >= looked + 1:
                looked = passed
                for snapshot in await cluster.statuses():
                    assert findings(snapshot, limits=limits) == (), f"{snapshot.node.name} after {passed:.1f} s"
            await asyncio.sleep(max(0.0, began + sent / rate - time.monotonic()))
        record_property("records_per_second", round(sent / passed))
        print(f"{sent / passed:,.0f} records a second for {passed:.1f} s")
        told = await look(cluster)
    assert {each.code for each in told.values()} == {OK}, told
