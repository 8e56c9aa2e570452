"""Causes and ends each fault. Gives no verdict: every agent is expected to recover afterwards."""

import asyncio
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

from kit.chaos.schedule import Fault, Step
from kit.child import ended, launch
from kit.cluster import Cluster, Node
from kit.patience import patience
from proglog.log.store import STORE_SUFFIX

SLOW_LINK_BYTES = 64 * 1024
SYNC_SECONDS = 0.3
READ_SECONDS = 0.05
WRITES = "pwritev,pwritev2,pwrite64,ftruncate,fsync,fdatasync"
READS = "preadv2,preadv,pread64"
FEW_DESCRIPTORS = 8
"""File descriptors left to a process: none beyond those that it has open."""
_CRASH_WITHIN = 8.0
"""Seconds for an agent to reach the system call that kills it; after that it is killed anyway."""
_REFUSED_WITHIN = 30.0
_PAGE = 4096
SPARE = "spare"
"""The host of clones."""


class Faults:
    """Causes faults on a cluster in which each node's directory is its own small file system."""

    def __init__(self, cluster: Cluster, *, backups: Path) -> None:
        """Keep older copies of directories in ``backups``."""
        self._cluster = cluster
        self._backups = backups
        self._copies = 0
        self.notes: list[str] = []
        """Problems that the faults observed."""
        self.aimed = self.hit = 0
        """Kills aimed at a system call, and those that came before the time was over."""

    async def strike(self, step: Step) -> None:
        """Cause a fault, wait, and end it: every agent runs again, and every link works."""
        node = self._cluster[step.node]
        random = Random(step.seed)
        await _CAUSES[step.fault](self, node, step, random)

    async def back_up(self, node: Node) -> None:
        """Copy the directory of a node whose agent does not run; ``ROLL_BACK`` puts it back."""
        target = self._backups / node.host.addr
        shutil.rmtree(target, ignore_errors=True)
        await asyncio.to_thread(shutil.copytree, node.data_dir, target)

    async def _kill(self, node: Node, step: Step, random: Random) -> None:
        node.agent.kill()
        await asyncio.sleep(random.choice((0, step.seconds)))
        await node.start()

    async def _terminate(self, node: Node, step: Step, random: Random) -> None:
        await asyncio.to_thread(node.agent.stop, patience(20))
        await self.back_up(node)
        await asyncio.sleep(random.choice((0, step.seconds)))
        await node.start()

    async def _storm(self, node: Node, step: Step, random: Random) -> None:
        others = [other for other in self._running() if other is not node]
        struck = [node, *random.sample(others, min(random.choice((2, len(others))), len(others)))]
        for each in struck:
            each.agent.kill()
        await asyncio.sleep(min(step.seconds, 2))
        await asyncio.gather(*(each.start() for each in struck))

    async def _pause(self, node: Node, step: Step, _random: Random) -> None:
        node.agent.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(step.seconds * 2)
        finally:
            node.agent.signal(signal.SIGCONT)

    async def _deaf(self, node: Node, step: Step, random: Random) -> None:
        other = random.choice([each for each in self._cluster if each is not node])
        ends = random.sample((node.host, other.host), 2)
        ends[0].lose(ends[1])
        await asyncio.sleep(step.seconds)
        ends[0].reach(ends[1])

    async def _cut(self, node: Node, step: Step, _random: Random) -> None:
        others = [each.host for each in self._cluster if each is not node]
        for other in others:
            self._cluster.switch.cut(node.host, other)
        await asyncio.sleep(step.seconds)
        for other in others:
            self._cluster.switch.join(node.host, other)

    async def _refuse(self, node: Node, step: Step, random: Random) -> None:
        other = random.choice([each for each in self._cluster if each is not node]).host
        node.host.refuse(other)
        await asyncio.sleep(step.seconds)
        node.host.reach(other)

    async def _slow_link(self, node: Node, step: Step, _random: Random) -> None:
        node.host.slow_down(SLOW_LINK_BYTES)
        await asyncio.sleep(step.seconds)
        node.host.speed_up()

    async def _slow_disk(self, node: Node, step: Step, _random: Random) -> None:
        microseconds = int(SYNC_SECONDS * 1e6)
        async with _traced(node, f"inject=fdatasync,fsync:delay_enter={microseconds}"):
            await asyncio.sleep(step.seconds)

    async def _slow_reads(self, node: Node, step: Step, _random: Random) -> None:
        microseconds = int(READ_SECONDS * 1e6)
        async with _traced(node, f"inject={READS}:delay_enter={microseconds}"):
            await asyncio.sleep(step.seconds)

    async def _failed_sync(self, node: Node, step: Step, _random: Random) -> None:
        """The log of an agent whose disk failed a sync stays poisoned until a restart."""
        async with _traced(node, "inject=fdatasync:error=EIO:when=1"):
            await asyncio.sleep(min(step.seconds, 2))
        node.agent.kill()
        await node.start()

    async def _unreadable(self, node: Node, step: Step, random: Random) -> None:
        which = f"when={random.randint(1, 4)}+{random.randint(2, 5)}"
        async with _traced(node, f"inject={READS}:error=EIO:{which}"):
            await asyncio.sleep(min(step.seconds, 3))

    async def _full(self, node: Node, step: Step, _random: Random) -> None:
        async with _no_room(node):
            await asyncio.sleep(step.seconds)

    async def _full_and_killed(self, node: Node, step: Step, _random: Random) -> None:
        async with _no_room(node):
            await asyncio.sleep(min(step.seconds, 2))
            node.agent.kill()
            await node.start()
            await asyncio.sleep(min(step.seconds, 2))

    async def _descriptors(self, node: Node, step: Step, _random: Random) -> None:
        pid = node.agent.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, hard))
        await asyncio.sleep(step.seconds)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

    async def _kill_at(self, node: Node, calls: str, random: Random) -> None:
        process = node.agent.process
        assert process is not None, "schedules strike agents that run"
        async with _traced(node, f"inject={calls}:signal=KILL:when={random.randint(1, 3)}"):
            await self._await_death(process)
        node.agent.kill()
        await node.start()

    async def _await_death(self, process: "subprocess.Popen[str]") -> None:
        self.aimed += 1
        with suppress(TimeoutError):
            await ended(process, _CRASH_WITHIN)
            self.hit += 1

    async def _start_to_die_at(self, node: Node, calls: str, path: Path, random: Random) -> None:
        """Start an agent that is killed at one of its first ``calls`` on ``path``, and start it again."""
        command, inject = node.agent.command, f"inject={calls}:signal=KILL:when={random.randint(1, 4)}"
        trace = ("strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", str(path), "-e", f"trace={calls}", "-e", inject)
        node.agent.command = (*command, *trace)
        try:
            try:
                await node.start()
            except AssertionError:  # killed before it was ready, or it will not start below either
                self.aimed, self.hit = self.aimed + 1, self.hit + 1
            if node.agent.process is not None:
                await self._await_death(node.agent.process)
        finally:
            node.agent.command = command
            node.agent.kill()
            await node.start()

    async def _kill_at_refill(self, node: Node, _step: Step, random: Random) -> None:
        node.agent.kill()
        if not (sealed := _sealed(node.data_dir)):
            await node.start()
            return
        lost = random.choice(sealed)
        lost.unlink()
        self._another_log(node)
        await self._start_to_die_at(node, WRITES, lost, random)

    async def _kill_at_new_origin(self, node: Node, step: Step, random: Random) -> None:
        await self._put_back(node, step)
        await self._start_to_die_at(node, "rename,renameat,renameat2", node.data_dir / "origin", random)

    async def _second_agent(self, node: Node, _step: Step, _random: Random) -> None:
        """The second agent must be refused with an error, without harm to the first."""
        command = [
            *node.host.command,
            *(sys.executable, "-m", "proglog", "serve", "--insecure", "--node-name", f"{node.agent.name}-twin"),
            *("--data-dir", str(node.data_dir), "--bind-addr", f"{node.host.addr}:8501", "--rpc-port", "8500"),
        ]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=patience(_REFUSED_WITHIN), check=False
        )
        if done.returncode in (0, 70) or "Traceback" in done.stderr:
            self.notes.append(f"a second agent on {node.log}'s directory ended with {done.returncode}: {done.stderr}")

    async def _flip(self, node: Node, _step: Step, random: Random) -> None:
        _flip_a_byte(random, _sealed(node.data_dir))

    async def _flip_at_rest(self, node: Node, _step: Step, random: Random) -> None:
        async with _down(node):
            _flip_a_byte(random, _stores(node.data_dir))

    async def _truncate(self, node: Node, _step: Step, random: Random) -> None:
        async with _down(node):
            store = _stores(node.data_dir)[-1]
            os.truncate(store, random.randint(0, store.stat().st_size))
            self._another_log(node)  # what was lost comes back from the others at later offsets

    async def _remove(self, node: Node, _step: Step, random: Random) -> None:
        async with _down(node):
            if sealed := _sealed(node.data_dir):
                random.choice(sealed).unlink()
                self._another_log(node)  # with it went how its origins were interleaved: docs/decisions/0004

    async def _wipe(self, node: Node, _step: Step, _random: Random) -> None:
        async with _down(node):
            for path in node.data_dir.iterdir():
                path.unlink()
            self._another_log(node)

    async def _roll_back(self, node: Node, step: Step, _random: Random) -> None:
        await self._put_back(node, step)
        await node.start()

    async def _put_back(self, node: Node, step: Step) -> None:
        """Stop the agent; put back a copy from an earlier stop, if there is one, or one a few seconds old."""
        backup = self._backups / node.host.addr
        if not backup.exists():
            async with _down(node):
                await self.back_up(node)
            await asyncio.sleep(step.seconds)
        node.agent.kill()
        for path in node.data_dir.iterdir():
            path.unlink()
        await asyncio.to_thread(shutil.copytree, backup, node.data_dir, dirs_exist_ok=True)
        self._another_log(node)

    async def _clone(self, node: Node, step: Step, _random: Random) -> None:
        """Run a clone for a while; it takes no records of its own."""
        self._copies += 1
        name = f"{SPARE}{self._copies}"
        clone = await self._cluster.add(name)
        try:
            async with _down(node):
                await asyncio.to_thread(shutil.copytree, node.data_dir, clone.data_dir)
                self._another_log(node)
            await clone.start()
            await asyncio.sleep(step.seconds)
            await asyncio.to_thread(clone.agent.stop, patience(20))
        finally:
            clone.agent.kill()
            await clone.door.close()
            del self._cluster.nodes[name]

    def _another_log(self, node: Node) -> None:
        """Give the log another name: its earlier offsets no longer apply."""
        self._copies += 1
        node.log = f"{node.log.partition('/')[0]}/{self._copies}"

    def _running(self) -> list[Node]:
        return self._cluster.running()


def _kill_at(calls: str) -> "Callable[[Faults, Node, Step, Random], Awaitable[None]]":
    async def cause(faults: Faults, node: Node, _step: Step, random: Random) -> None:
        await faults._kill_at(node, calls, random)

    return cause


_CAUSES: "dict[Fault, Callable[[Faults, Node, Step, Random], Awaitable[None]]]" = {
    Fault.KILL: Faults._kill,
    Fault.TERM: Faults._terminate,
    Fault.STORM: Faults._storm,
    Fault.PAUSE: Faults._pause,
    Fault.DEAF: Faults._deaf,
    Fault.CUT: Faults._cut,
    Fault.REFUSE: Faults._refuse,
    Fault.SLOW_LINK: Faults._slow_link,
    Fault.SLOW_DISK: Faults._slow_disk,
    Fault.SLOW_READS: Faults._slow_reads,
    Fault.FAILED_SYNC: Faults._failed_sync,
    Fault.FULL: Faults._full,
    Fault.FULL_AND_KILLED: Faults._full_and_killed,
    Fault.DESCRIPTORS: Faults._descriptors,
    Fault.KILL_AT_RENAME: _kill_at("rename,renameat,renameat2"),
    Fault.KILL_AT_UNLINK: _kill_at("unlink,unlinkat"),
    Fault.KILL_AT_TRUNCATE: _kill_at("ftruncate"),
    Fault.KILL_AT_OPEN: _kill_at("openat"),
    Fault.SECOND_AGENT: Faults._second_agent,
    Fault.FLIP: Faults._flip,
    Fault.FLIP_AT_REST: Faults._flip_at_rest,
    Fault.TRUNCATE: Faults._truncate,
    Fault.UNREADABLE: Faults._unreadable,
    Fault.REMOVE: Faults._remove,
    Fault.WIPE: Faults._wipe,
    Fault.ROLL_BACK: Faults._roll_back,
    Fault.KILL_AT_REFILL: Faults._kill_at_refill,
    Fault.KILL_AT_NEW_ORIGIN: Faults._kill_at_new_origin,
    Fault.CLONE: Faults._clone,
}


@asynccontextmanager
async def _down(node: Node) -> AsyncGenerator[None]:
    """Change the disk of an agent that was killed; start it afterwards."""
    node.agent.kill()
    try:
        yield
    finally:
        await node.start()


@asynccontextmanager
async def _no_room(node: Node) -> AsyncGenerator[None]:
    """Fill the node's file system to the last block."""
    ballast = node.data_dir.parent / "filler"
    try:
        await asyncio.to_thread(_fill, ballast)
        yield
    finally:
        ballast.unlink(missing_ok=True)


@asynccontextmanager
async def _traced(node: Node, inject: str) -> AsyncGenerator[None]:
    """Change the system calls of a running agent with strace."""
    calls = inject.partition("=")[2].partition(":")[0]
    command = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"trace={calls}",
        "-e",
        inject,
        "-p",
        str(node.agent.pid),
    ]
    tracer = launch(command, out=subprocess.DEVNULL, err=subprocess.DEVNULL)
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)  # it detaches from the agent first
        try:
            await ended(tracer, patience(5))
        except TimeoutError:
            tracer.kill()
            tracer.wait()


def _fill(path: Path) -> None:
    """Write until the disk is full, despite concurrent writes and removals."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, _PAGE):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise


def _stores(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{STORE_SUFFIX}"))


def _sealed(directory: Path) -> list[Path]:
    return _stores(directory)[:-1]


def _flip_a_byte(random: Random, stores: list[Path]) -> None:
    """Change one byte of a non-empty file, if there is one."""
    if not (filled := [store for store in stores if store.stat().st_size]):
        return
    store = random.choice(filled)
    with store.open("r+b") as file:
        file.seek(random.randrange(store.stat().st_size))
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ (1 << random.randrange(8))]))
