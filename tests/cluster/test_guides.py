"""The guides that secure and operate a cluster, executed as they are written: three hosts, and the operator's machine."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kit.netns import Host, Switch
from kit.patience import patience

SECURE, OPERATE = (Path(__file__).resolve().parents[2] / "docs/guides" / name for name in ("secure.md", "operating.md"))
HOSTS = ("first host", "second host", "third host")


class Machine:
    """A host, its directory, and what its shell has exported."""

    def __init__(self, host: Host, directory: Path, addr: str) -> None:
        self.host, self.directory = host, directory
        directory.mkdir()
        subprocess.run(
            ["ip", "-n", host.namespace, "address", "add", f"{addr}/24", "dev", "eth0"], check=True, timeout=10
        )

    def run(self, block: str) -> tuple[int, str]:
        """Return the exit code of a block, and what it wrote to stdout."""
        out, errors, state = (self.directory / name for name in ("out", "errors", "state"))
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}
        path = f"{Path(sys.executable).parent}:{clean['PATH']}"
        script = f"set -e; test ! -e {state} || . {state}; trap 'export -p > {state}' EXIT\n{block}"
        with out.open("w") as stdout, errors.open("a") as stderr:
            done = subprocess.run(
                [*self.host.command, "bash", "-c", script],
                cwd=self.directory,
                env=clean | {"PATH": path, "HOME": str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                timeout=patience(60),
                check=False,
            )
        return done.returncode, out.read_text()

    def end(self) -> None:
        """Stop what still runs there."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + 6
            while (pids := self._pids()) and time.monotonic() < end:
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                time.sleep(0.2)

    def _pids(self) -> list[int]:
        found = subprocess.run(
            ["ip", "netns", "pids", self.host.namespace], capture_output=True, text=True, check=True, timeout=10
        )
        return [int(line) for line in found.stdout.split()]


@contextmanager
def machines(directory: Path) -> Iterator[dict[str, Machine]]:
    with Switch() as switch:
        made = {
            name: Machine(switch.host(f"h{n}"), directory / f"h{n}", f"192.0.2.{n}") for n, name in enumerate(HOSTS, 1)
        }
        made["admin"] = Machine(switch.host("admin"), directory / "admin", "192.0.2.10")
        try:
            yield made
        finally:
            for machine in made.values():
                machine.end()


def run(guide: Path, all_of_them: dict[str, Machine]) -> list[str]:
    """Run the blocks of a guide, each where it says; return what the operator's wrote to stdout."""
    text, admin, printed = guide.read_text(), all_of_them["admin"], list[str]()
    blocks = re.findall(r"```sh\n# ([a-z, ]+)\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```sh")
    for where, block in blocks:
        name, _, refused = where.partition(", ")
        for host in HOSTS if name == "each host" else (name,):
            machine = all_of_them[host]
            if machine is not admin and (admin.directory / "agents.tar").exists():
                shutil.copy(admin.directory / "agents.tar", machine.directory)
            code, output = machine.run(block)
            errors = (machine.directory / "errors").read_text()[-3000:]
            assert code == (5 if refused else 0), f"{host}: {block}\n{output}\n{errors}"
            printed += [output] * (machine is admin)
    return printed


@pytest.mark.timeout(480)
def test_three_hosts_are_secured_and_operated_as_the_guides_say(tmp_path: Path) -> None:
    with machines(tmp_path) as all_of_them:
        secured = run(SECURE, all_of_them)
        operated = run(OPERATE, all_of_them)
        telemetry = [(all_of_them[name].directory / "errors").read_text() for name in HOSTS]

    consumed = [output.splitlines()[-2:] for output in secured if "hello" in output]
    assert [lines[-1] for lines in consumed] == ["hello", "again"]
    assert any("certificate_reloaded" in text for text in telemetry)
    assert all("keyring_changed" in text for text in telemetry)
    assert not any("ca-key.pem" in path.name for host in ("h1", "h2", "h3") for path in (tmp_path / host).rglob("*"))
    (restored,) = (output.split() for output in operated if output.startswith("hello\n"))
    assert restored == ["hello", "again", "later"]
    assert "restored from a backup of two" in telemetry[0]
