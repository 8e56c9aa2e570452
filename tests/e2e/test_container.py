"""An agent as a container runs it: process 1, a read-only root, a user without a name, and limits on all it may take."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kit.patience import patience
from proglog.testing.processes import AgentProcess

USER = 54321
"""No entry in /etc/passwd has it."""
CGROUPS = Path("/sys/fs/cgroup")
LIMITS = {
    "memory": {"memory.limit_in_bytes": str(160 << 20)},
    "pids": {"pids.max": "48"},
    "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"},
}
INSIDE = """
set -e
mount --make-rprivate /
mount --bind "$PLACE" "$PLACE"
mount -o remount,bind,ro /
exec setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs --inh-caps -all,+dac_read_search \\
    --ambient-caps -all,+dac_read_search --bounding-set -all,+dac_read_search env -i LC_ALL=C "$@"
"""
"""Its only capability is to read: the interpreter may lie in somebody's home."""
CAN = os.geteuid() == 0 and all(map(shutil.which, ("unshare", "setpriv", "mount")))


@contextmanager
def limited(place: Path) -> Iterator[tuple[str, ...]]:
    """Yield what runs a command as process 1 of a container that may write to ``place`` only."""
    groups = [CGROUPS / kind / f"proglog-test-{os.getpid()}" for kind in LIMITS]
    made = []
    try:
        for group, limits in zip(groups, LIMITS.values(), strict=True):
            with suppress(OSError):  # no such controller, or not here: the rest of the container is tried all the same
                group.mkdir()
                made.append(group)
                for name, value in limits.items():
                    (group / name).write_text(value)
        joined = "; ".join(f"echo $$ > {group}/cgroup.procs" for group in made)
        inside = INSIDE.format(user=USER)
        outside = f'{joined or ":"}; export PLACE={place}; exec unshare --mount --pid --fork --mount-proc "$@"'
        yield ("sh", "-c", outside, "sh", "sh", "-c", inside, "sh")
    finally:
        end = time.monotonic() + patience(10)
        while made:  # as soon as the last process is gone
            try:
                made[-1].rmdir()
                made.pop()
            except OSError:
                assert time.monotonic() < end, f"{made[-1]} is still in use"
                time.sleep(0.05)


def process_1(agent: AgentProcess) -> int:
    """Return the agent's process, as it is called outside."""
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    return int(children[0])


@contextmanager
def ended_with(process: int) -> Iterator[int]:
    """Kill a process at the end: unshare's own --kill-child is undone by a change of user."""
    descriptor = os.pidfd_open(process)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)


def proglog(agent: AgentProcess, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "proglog", *arguments, "--addr", agent.rpc_addr],
        input=data,
        capture_output=True,
        timeout=patience(60),
        check=False,
    )


@pytest.mark.skipif(not CAN, reason="it takes root, unshare and setpriv to make a container")
def test_an_agent_in_a_container_serves_within_its_limits_and_ends_in_order() -> None:
    with tempfile.TemporaryDirectory() as name:  # unlike pytest's, its parents let everybody through
        place = Path(name)
        os.chown(place, USER, USER)
        run_and_restart(place)


def run_and_restart(place: Path) -> None:
    records = b"".join(b"%d %s\n" % (number, b"x" * 500) for number in range(20_000))
    with limited(place) as command:
        with AgentProcess("a", place, command=command) as agent, ended_with(process_1(agent)) as inside:
            facts = dict(line.split(":", 1) for line in Path(f"/proc/{inside}/status").read_text().splitlines())
            mounts = {
                line.split()[4]: line.split()[5] for line in Path(f"/proc/{inside}/mountinfo").read_text().splitlines()
            }
            produced = proglog(agent, "produce", data=records)
            read = proglog(agent, "consume")
            checked = proglog(agent, "check")
            os.kill(inside, signal.SIGTERM)
            assert agent.process is not None
            code = agent.process.wait(patience(10))
        ended = agent.telemetry.read_text()

        assert facts["NSpid"].split()[-1] == "1"
        assert facts["Uid"].split() == [str(USER)] * 4
        assert mounts["/"].split(",")[0] == "ro"
        assert produced.returncode == 0, produced.stderr
        assert read.stdout == records
        assert checked.returncode in (0, 1), checked.stdout  # a disk that is nearly full is not the container's fault
        assert code == 0, ended[-2000:]
        assert "agent_stopped" in ended
        assert {path.stat().st_uid for path in (place / "a").iterdir()} == {USER}
        with AgentProcess("a", place, command=command) as agent:
            with ended_with(process_1(agent)):
                again = proglog(agent, "consume")
        assert again.stdout == records
