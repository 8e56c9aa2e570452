"""An earlier commit and this tree at the same work, in turns: ``python -m benchmarks.before 438b071 [--full] [--json FILE]``.

Whole processes, default durability, no TLS: a file of 100-byte lines through ``proglog produce``, back through ``proglog
consume``, and from one node of three to another. The commit comes out of git; what it depends on is what is installed.
Beside the rates it compares the processor time of client and agents together, which other work on the machine hardly moves.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench_pipeline import digest, write_lines
from benchmarks.measure import ROUNDS, Comparison, as_json, machine, touch_page_cache
from proglog.testing.processes import AgentProcess

HERE = Path(__file__).resolve().parents[1]
LIMIT = 300.0


def run(commit: str, *, full: bool, rounds: int = ROUNDS) -> Iterator[Comparison]:
    """Yield a comparison a path.

    Raises:
        CalledProcessError: Git does not have the commit.
    """
    lines = 600_000 if full else 5_000
    names = ("produce FILE", "consume > FILE", "produced at one, read at another of three")
    rates: dict[tuple[str, str], tuple[list[float], list[float]]] = {
        (name, unit): ([], []) for name in names for unit in ("lines/s", "lines/s of processor time")
    }
    with tempfile.TemporaryDirectory(prefix="proglog-bench-") as scratch:
        directory = Path(scratch)
        package = directory / "earlier"
        package.mkdir()
        archive = subprocess.run(["git", "archive", commit, "proglog"], cwd=HERE, capture_output=True, check=True)
        subprocess.run(["tar", "x", "-C", package], input=archive.stdout, check=True)
        source = directory / "lines"
        write_lines(source, lines)
        touch_page_cache(source.stat().st_size * 8, directory)
        for number in range(rounds):
            for place, tree in enumerate((HERE, package)):
                measured = _round(directory / f"{number}-{place}", tree, source)
                for key, seconds in zip(rates, measured, strict=True):
                    rates[key][place].append(lines / seconds)
    for (name, unit), (now, then) in rates.items():
        yield Comparison(f"{name}, {unit}", unit, commit, now, then)


def _round(place: Path, tree: Path, source: Path) -> list[float]:
    """Return the seconds, and the processor seconds, of each path with the package in ``tree``."""
    place.mkdir()
    command = ("env", f"PYTHONPATH={tree}", "PYTHONSAFEPATH=1")
    out = place / "out"
    with ExitStack() as running:

        def agent(name: str, seeds: tuple[str, ...] = ()) -> AgentProcess:
            return running.enter_context(AgentProcess(name, place, seeds, command=command))

        def verb(agent: AgentProcess, *words: str) -> None:
            with out.open("wb") as target:
                subprocess.run(
                    [*command, sys.executable, "-m", "proglog", *words, "--addr", agent.rpc_addr],
                    stdout=target, stderr=subprocess.DEVNULL, check=True, timeout=LIMIT,
                )  # fmt: skip

        alone = agent("alone")
        measured = _timed([alone], lambda: verb(alone, "produce", str(source)))
        measured += _timed([alone], lambda: verb(alone, "consume"))
        assert digest(out) == digest(source), "what came back is not what was sent"
        alone.kill()
        a = agent("a")
        b, c = agent("b", (a.gossip_addr,)), agent("c", (a.gossip_addr,))
        _until(lambda: '"streaming"' in _status(command, b))

        def from_one_to_another() -> None:
            verb(a, "produce", str(source))
            whole = sum(path.stat().st_size for path in (place / "a").glob("*.log"))
            _until(lambda: sum(path.stat().st_size for path in (place / "b").glob("*.log")) >= whole)
            verb(b, "consume")

        measured += _timed([a, b, c], from_one_to_another)
        assert digest(out) == digest(source), "what came back is not what was sent"
    return measured


def _timed(agents: list[AgentProcess], work: Callable[[], None]) -> list[float]:
    """Return the seconds of ``work``, and the processor seconds of it and of the agents."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime + sum(each.cpu_seconds() for each in agents)

    started, before = time.monotonic(), spent()
    work()
    return [time.monotonic() - started, spent() - before]


def _status(command: tuple[str, ...], agent: AgentProcess) -> str:
    asked = [*command, sys.executable, "-m", "proglog", "status", "-o", "json", "--addr", agent.rpc_addr]
    return subprocess.run(asked, capture_output=True, text=True, check=False, timeout=LIMIT).stdout


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "the copy does not come"
        time.sleep(0.02)


def main() -> None:
    """Compare with the commit that is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.before", description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--full", action="store_true", help="the size that says something")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures here")
    given = parser.parse_args()
    facts, lines = machine(), []
    for line in run(given.commit, full=given.full, rounds=given.rounds):
        print(line, flush=True)
        lines.append(line)
    if given.json:
        given.json.write_text(as_json({"before": lines}, facts))


if __name__ == "__main__":
    main()
