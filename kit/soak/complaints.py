"""What an agent said about its cluster, counted from its log: accusations, deaths, refutations, warnings, errors.

Stock agents write ``2026/01/31 12:00:00 [WARN] memberlist: ...``; proglog agents write one JSON object a line. Both
columns of the report then mean the same.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

KEPT_LINES = 20
_STOCK_LEVEL = re.compile(r"\[(DEBUG|INFO|WARN|ERR)\]")
_STOCK_FAILED = re.compile(r"serf: EventMemberFailed: (\S+)")
_STOCK_SUSPECTS = re.compile(r"memberlist: Suspect \S+ has failed")
_STOCK_REFUTES = "memberlist: Refuting"
_STOCK_COMMANDS = "agent.ipc:"
"""What an agent logs about its own command line, which may hang up early: nothing about the cluster."""


@dataclass(slots=True)
class Complaints:
    """Counts of one agent's log, and its first warnings and errors."""

    dead: list[str] = field(default_factory=list)
    """Members that it reported as failed, in order: false deaths where no agent ended."""
    suspected: int = 0
    """Stock: probes without an answer. proglog: members that became suspect, by any accuser."""
    refuted: int = 0
    """Claims about itself that it refuted."""
    warnings: int = 0
    errors: int = 0
    lines: list[str] = field(default_factory=list)
    """The first ``KEPT_LINES`` warnings and errors."""

    @property
    def failed(self) -> int:
        """Number of members that it reported as failed."""
        return len(self.dead)

    def _count(self, *, warning: bool, error: bool, line: str) -> None:
        self.warnings += warning
        self.errors += error
        if (warning or error) and len(self.lines) < KEPT_LINES:
            self.lines.append(line)


def of_stock(lines: Iterable[str]) -> Complaints:
    """Return the counts of a stock agent's log."""
    found = Complaints()
    for line in lines:
        if _STOCK_COMMANDS in line:
            continue
        level = _STOCK_LEVEL.search(line)
        found.dead += _STOCK_FAILED.findall(line)
        found.suspected += _STOCK_SUSPECTS.search(line) is not None
        found.refuted += _STOCK_REFUTES in line
        found._count(
            warning=level is not None and level[1] == "WARN", error=level is not None and level[1] == "ERR", line=line
        )
    return found


def of_proglog(lines: Iterable[str]) -> Complaints:
    """Return the counts of a proglog agent's telemetry; a line that is no event counts as an error."""
    found = Complaints()
    for line in lines:
        try:
            event = json.loads(line)
            name, level = event["event"], event["level"]
        except (ValueError, TypeError, KeyError):
            event, name, level = {}, "", "error"
        if name == "member_failed":
            found.dead.append(event["member"])
        found.suspected += name == "member_suspected"
        found.refuted += name == "suspicion_refuted"
        found._count(warning=level == "warning", error=level in ("error", "critical"), line=line)
    return found
