"""``python -m benchmarks.peers [--full] [--json FILE] [--kafka ADDR] [--redis ADDR] [--nats ADDR] [NAME ...]``.

Each round does every piece of work with every client in turn, so that all see the machine's moods, and prints proglog's
ratio to each. What is not installed is named. Without ``--full`` the sizes are tiny, and say nothing about speed.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench_pipeline import write_lines
from benchmarks.measure import ROUNDS, Comparison, as_json, machine, touch_page_cache
from benchmarks.peers.servers import PEERS, proglog
from benchmarks.peers.work import PATHS, Job, Peer, Unavailable

SIZES = (100, 1024)
BYTES = 60_000_000
"""Of one file, at full size."""


def run(
    names: Sequence[str], addresses: Mapping[str, str], *, full: bool, rounds: int = ROUNDS
) -> Iterator[Comparison | str]:
    """Yield what every peer is, what is missing, and a comparison for each of proglog's ways with each of theirs."""
    with tempfile.TemporaryDirectory(prefix="proglog-bench-") as scratch, ExitStack() as running:
        directory = Path(scratch)
        ours = running.enter_context(proglog(directory, ""))
        peers = [ours]
        for name in names:
            try:
                peers.append(running.enter_context(PEERS[name](directory, addresses.get(name, ""))))
            except Unavailable as exc:
                yield f"{name}: skipped: {exc}"
        for peer in peers:
            yield f"{peer.name}: {peer.settings}"
            yield from (f"{peer.name}: skipped: {each}" for each in peer.missing)
        if full:
            touch_page_cache(10 * BYTES, directory)
        for size in SIZES:
            yield from _of_size(ours, peers[1:], directory, size, BYTES if full else 20_000, rounds)


def _of_size(
    ours: Peer, peers: Sequence[Peer], directory: Path, size: int, total: int, rounds: int
) -> Iterator[Comparison]:
    source, count = directory / f"lines-{size}", total // size
    write_lines(source, count, size)
    rates: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for number in range(rounds):
        job = Job(f"r{number}-{size}", source, count, size - 1, ones=max(20, total // 100_000))  # less the newline
        for path in PATHS:
            for peer in (ours, *peers):
                for way in peer.ways.get(path, ()):
                    rates[path, peer.name, way.client].append(way.run(job))
    for path in PATHS:
        for mine in ours.ways[path]:
            for peer in peers:
                for way in peer.ways.get(path, ()):
                    yield Comparison(
                        f"{path}, {size} B: {mine.client}",
                        "records/s",
                        f"{peer.name}, {way.client}",
                        rates[path, ours.name, mine.client],
                        rates[path, peer.name, way.client],
                    )


def main() -> None:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*PEERS, []], help="which; all if left out")
    parser.add_argument("--full", action="store_true", help="the size that says something")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures here")
    for name in PEERS:
        parser.add_argument(
            f"--{name}", metavar="HOST:PORT", default="", help="one that runs, in place of one of our own"
        )
    given = parser.parse_args()
    facts, lines = machine(), []
    addresses = {name: getattr(given, name) for name in PEERS}
    for line in run(given.names or list(PEERS), addresses, full=given.full, rounds=given.rounds):
        print(line, flush=True)
        lines.append(line)
    if given.json:
        given.json.write_text(as_json({"peers": lines}, facts))


if __name__ == "__main__":
    main()
