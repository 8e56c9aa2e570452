"""``python -m kit.chaos``: random faults on five real agents, and a verdict. Needs root; ``make chaos``."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from kit import netns
from kit.chaos.run import Chaos
from kit.chaos.schedule import Step


def main() -> int:
    """Run once; return 0 for a clean verdict, 1 for problems, 2 if it cannot run here."""
    parser = argparse.ArgumentParser(prog="python -m kit.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="the same seed, the same faults")
    parser.add_argument("--seconds", type=float, default=60.0, help="of faults; the verdict comes after them")
    parser.add_argument("--keep", type=Path, help="an empty directory for telemetry and what was read")
    chosen = parser.parse_args()
    if reason := netns.why_not():
        sys.stderr.write(f"chaos: {reason}\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="proglog-chaos-") as scratch:
        directory = chosen.keep or Path(scratch)
        directory.mkdir(exist_ok=True, parents=True)
        run = Chaos(directory, seed=chosen.seed, seconds=chosen.seconds, announce=_announce)
        report = asyncio.run(run.run())
    sys.stdout.write(f"{report}\n")
    return 1 if report.problems else 0


def _announce(step: Step) -> None:
    sys.stdout.write(f"{step}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
