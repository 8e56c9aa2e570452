"""Comparisons in turns: each round measures the yardstick and the subject once, so that both see the machine's moods.

A machine's speed differs by a factor of three between hosts and by some percent between minutes: only the ratio of two
figures of one round says something. Memory of a virtual machine is backed at its first touch; :func:`touch_page_cache`
does that before anything is measured.
"""

import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cryptography
import google.protobuf
import grpc

import proglog

ROUNDS = 5
_BLOCK = bytes(1 << 20)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rates of a subject and of its yardstick, a round each. More is better."""

    name: str
    unit: str
    """Of the rates: ``MB/s`` or ``calls/s``."""
    against: str
    """The yardstick."""
    subject: Sequence[float]
    yardstick: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """Subject by yardstick, of each round."""
        return [mine / theirs for mine, theirs in zip(self.subject, self.yardstick, strict=True)]

    def __str__(self) -> str:
        low, middle, high = min(self.ratios), statistics.median(self.ratios), max(self.ratios)
        mine, theirs = statistics.median(self.subject), statistics.median(self.yardstick)
        return f"{self.name}: {middle:.2f} ({low:.2f} to {high:.2f}) of {self.against}: {mine:,.0f} of {theirs:,.0f} {self.unit}"


def compare(
    name: str,
    unit: str,
    against: str,
    *,
    subject: Callable[[], float],
    yardstick: Callable[[], float],
    rounds: int = ROUNDS,
) -> Comparison:
    """Measure both in turns; each returns a rate in ``unit``."""
    mine, theirs = [], []
    for _ in range(rounds):
        theirs.append(yardstick())
        mine.append(subject())
    return Comparison(name, unit, against, mine, theirs)


def touch_page_cache(size: int, directory: Path) -> None:
    """Write ``size`` bytes to a file in ``directory`` and remove it: the memory of the page cache is backed from then on."""
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(size // len(_BLOCK)):
            file.write(_BLOCK)
        file.flush()
        os.fsync(file.fileno())


def machine() -> dict[str, Any]:
    """Return what a figure depends on beside the code."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    return {
        "processors": os.cpu_count(),
        "processor": cpu,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "protobuf": google.protobuf.__version__,
        "cryptography": cryptography.__version__,
        "proglog": proglog.__version__,
        "load_at_start": os.getloadavg()[0],
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def as_json(results: Mapping[str, Sequence[object]], facts: Mapping[str, Any]) -> str:
    """Return one document: the machine, and what each benchmark measured or said."""
    told = {
        name: [asdict(each) if isinstance(each, Comparison) else {"said": str(each)} for each in lines]
        for name, lines in results.items()
    }
    return json.dumps({"version": 1, "machine": facts, "benchmarks": told}, indent=1)


def slower(before: Path, after: Path) -> list[str]:
    """Return a line for each comparison whose ratio fell below all that it was in ``before``.

    Raises:
        ValueError: A file is no output of ``--json``.
    """
    earlier, later = _comparisons(before), _comparisons(after)
    found = []
    for name, now in later.items():
        then = earlier.get(name)
        if then is not None and statistics.median(now.ratios) < min(then.ratios):
            was, is_now = statistics.median(then.ratios), statistics.median(now.ratios)
            found.append(f"{name}: {is_now:.2f} of {now.against}, was {was:.2f} (at least {min(then.ratios):.2f})")
    return found


def _comparisons(path: Path) -> dict[str, Comparison]:
    document = json.loads(path.read_text())
    if not isinstance(document, dict) or document.get("version") != 1:
        raise ValueError(f"{path} is no output of python -m benchmarks --json")
    found = (each for lines in document["benchmarks"].values() for each in lines if "subject" in each)
    return {each["name"]: Comparison(**each) for each in found}
