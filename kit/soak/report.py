"""The figures of a soak, as text and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kit.soak.complaints import Complaints
from kit.soak.usage import Usage


@dataclass(slots=True)
class Sample:
    """All processes at one moment."""

    seconds: float
    """Since the beginning of the soak."""
    usages: Mapping[str, Usage]
    """By node; one that has ended is missing."""


@dataclass(slots=True)
class Report:
    """The figures so far."""

    seconds: float = 0.0
    """Length of the soak, from the moment when every agent saw every other alive."""
    done: dict[str, int] = field(default_factory=dict)
    """How often each kind of traffic succeeded."""
    refused: list[str] = field(default_factory=list)
    """Traffic that failed, in words."""
    complaints: dict[str, Complaints] = field(default_factory=dict)
    """By node."""
    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why this soak failed; empty: it did not."""

    def cpu_share(self, node: str) -> float:
        """Return the share of a core that a node used between the first and the last sample."""
        own = [(each.seconds, each.usages[node]) for each in self.samples if node in each.usages]
        if len(own) < 2 or own[-1][0] <= own[0][0]:
            return 0.0
        return (own[-1][1].cpu_seconds - own[0][1].cpu_seconds) / (own[-1][0] - own[0][0])

    def rss_kib(self, node: str) -> list[int]:
        """Return a node's resident memory at each sample, in KiB."""
        return [each.usages[node].rss_kib for each in self.samples if node in each.usages]

    def as_json(self) -> dict[str, Any]:
        """Return all figures as plain values."""
        return {
            "seconds": round(self.seconds, 1),
            "problems": self.problems,
            "traffic": self.done,
            "refused": self.refused,
            "nodes": {
                node: {
                    **asdict(found),
                    "failed": found.failed,
                    "cpu_share": round(self.cpu_share(node), 5),
                    "rss_kib": self.rss_kib(node),
                }
                for node, found in self.complaints.items()
            },
            "sampled_at_seconds": [round(each.seconds) for each in self.samples],
        }

    def __str__(self) -> str:
        """Return the figures as a table."""
        heads = ("node", "failed", "suspected", "refuted", "WARN", "ERR", "CPU %", "RSS KiB first", "last", "highest")
        rows: list[tuple[str, ...]] = [heads]
        for node, found in self.complaints.items():
            rss = self.rss_kib(node) or [0]
            counts = (found.failed, found.suspected, found.refuted, found.warnings, found.errors)
            memory = (rss[0], rss[-1], max(rss))
            rows.append((node, *map(str, counts), f"{100 * self.cpu_share(node):.2f}", *map(str, memory)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
        table = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        traffic = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.done.items()))
        return "\n".join(
            [
                f"{self.seconds:,.0f} s: {traffic or 'no traffic'}; {len(self.refused)} refused",
                *table,
                *(f"WRONG: {problem}" for problem in self.problems),
            ]
        )
