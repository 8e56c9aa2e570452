"""Run the benchmarks: `python -m benchmarks [--full] [NAME ...]`.

Each prints what it measured and the ratio to its yardstick, taken in the same run. The small sizes run in the tests, so
that no benchmark rots; only the full sizes say something about speed.
"""

import argparse
import importlib
from pathlib import Path

from proglog.telemetry.configure import configure

HERE = Path(__file__).parent


def main() -> None:
    """Run those that are named, or all."""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*names, []], help="which; all if left out")
    parser.add_argument("--full", action="store_true", help="the size that says something")
    arguments = parser.parse_args()
    configure("error")
    for name in arguments.names or names:
        print(f"\n{name}")
        for line in importlib.import_module(f"benchmarks.bench_{name}").run(full=arguments.full):
            print(f"  {line}")


if __name__ == "__main__":
    main()
