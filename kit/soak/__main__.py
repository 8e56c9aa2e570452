"""``python -m kit.soak``: a mixed cluster in peace, and a verdict. ``make soak SECONDS=7000``."""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path

from kit.soak.report import Report
from kit.soak.run import Soak
from proglog.errors import ProglogError


def main() -> int:
    """Run once; return 0 for a clean verdict, 1 for problems, 2 if it cannot run here, 143 if it was ended."""
    parser = argparse.ArgumentParser(prog="python -m kit.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of traffic, once the cluster is whole")
    parser.add_argument("--seed", type=int, default=7, help="the same seed, the same choices of agents")
    parser.add_argument("--report", type=Path, help="a file for the figures as JSON, rewritten at each sample")
    chosen = parser.parse_args()

    def write(report: Report) -> None:
        if chosen.report is not None:
            chosen.report.write_text(json.dumps(report.as_json(), indent=1) + "\n")

    with tempfile.TemporaryDirectory(prefix="proglog-soak-") as directory:
        soak = Soak(Path(directory), seconds=chosen.seconds, seed=chosen.seed, interim=write)
        ended = False
        try:
            asyncio.run(_until_ended(soak))
        except ProglogError as exc:
            sys.stderr.write(f"soak: {exc}\n")
            return 2
        except asyncio.CancelledError:  # SIGTERM: every process has been ended, and what was counted is shown
            ended = True
    write(soak.report)
    sys.stdout.write(f"{soak.report}\n")
    return 143 if ended else 1 if soak.report.problems else 0


async def _until_ended(soak: Soak) -> None:
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await soak.run()


if __name__ == "__main__":
    sys.exit(main())
