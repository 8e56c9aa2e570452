"""Run the benchmarks: `python -m benchmarks [--full] [--json FILE] [NAME ...]`, `python -m benchmarks compare FILE FILE`.

Each prints what it measured and the ratio to its yardstick, taken in the same run. The small sizes run in the tests, so
that no benchmark rots; only the full sizes say something about speed. ``--json`` keeps all figures with the facts of the
machine; ``compare`` names the ratios that fell below all that they were, and then ends with 1.
"""

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.measure import as_json, machine, slower
from proglog.telemetry.configure import configure

HERE = Path(__file__).parent


def main() -> None:
    """Run those that are named, or all."""
    if sys.argv[1:2] == ["compare"]:
        compare(sys.argv[2:])
        return
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*names, []], help="which; all if left out")
    parser.add_argument("--full", action="store_true", help="the size that says something")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures here")
    arguments = parser.parse_args()
    configure("error")
    facts, results = machine(), {}
    for name in arguments.names or names:
        print(f"\n{name}")
        results[name] = []
        for line in importlib.import_module(f"benchmarks.bench_{name}").run(full=arguments.full):
            print(f"  {line}", flush=True)
            results[name].append(line)
    if arguments.json:
        arguments.json.write_text(as_json(results, facts))


def compare(given: list[str]) -> None:
    """Print what got slower from the first file to the second, and end with 1 if anything did."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args(given)
    try:
        found = slower(arguments.before, arguments.after)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        parser.error(f"cannot read the figures: {exc}")
    print("\n".join(found) or "no ratio fell below what it was")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
