"""Memory and processor time of processes, from ``/proc``."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """One process at one moment."""

    rss_kib: int
    """Resident memory in KiB."""
    cpu_seconds: float
    """User and system time since its start."""


def usage(pid: int) -> Usage | None:
    """Return the usage of a running process; ``None`` if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    rss = next((line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")), None)
    if rss is None:  # a zombie has no memory
        return None
    return Usage(int(rss), (int(fields[11]) + int(fields[12])) / _TICKS)
