"""What a check found, written for people, for Nagios and its kin, for Prometheus' textfile collector, and for programs.

The exit codes are those of monitoring plugins: 0 ok, 1 warning, 2 critical, 3 unknown. Foreign text is made harmless;
in Nagios' line, where a bar begins the figures, there is none; in labels it is quoted as Prometheus has it.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Literal, cast

from proglog.cli.shapes import Shape
from proglog.observe.health import Finding, Limits, Severity, copy_words, worst
from proglog.observe.lag import of_node
from proglog.observe.plausible import free_share
from proglog.observe.safe_text import safe_text
from proglog.observe.words import duration_words
from proglog.wire.model import ClusterSnapshot, MemberStatus


class CheckStatus(IntEnum):
    """The outcome, and the exit code."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class CheckFormat(StrEnum):
    """The output format."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    PLAIN = "plain"
    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"


_STATUSES = {
    Severity.OK: CheckStatus.OK,
    Severity.INFO: CheckStatus.OK,
    Severity.WARNING: CheckStatus.WARNING,
    Severity.CRITICAL: CheckStatus.CRITICAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check found."""

    addr: str
    """The agent that was checked."""
    limits: Limits
    snapshot: ClusterSnapshot | None = None
    """Its snapshot; ``None``: no answer."""
    findings: tuple[Finding, ...] = ()
    """Findings, the worst first."""
    error: str = ""
    """Why there is no snapshot. Foreign text."""
    flags: tuple[str, ...] = ()
    """Flags that every suggested command also needs: TLS files."""

    @property
    def status(self) -> CheckStatus:
        """The worst of all findings; unknown without an answer."""
        if self.snapshot is None:
            return CheckStatus.UNKNOWN
        return _STATUSES[worst(self.findings)]

    @property
    def node(self) -> str:
        """The name of the agent that answered; its address until then."""
        return self.snapshot.node.name if self.snapshot else self.addr

    @property
    def serious(self) -> list[Finding]:
        """The findings that count."""
        return [each for each in self.findings if each.severity > Severity.INFO]

    def command(self, finding: Finding) -> str:
        """Return the command line that shows more about a finding."""
        return f"proglog {finding.verb} {shlex.join(['--addr', safe_text(finding.at) or self.addr, *self.flags])}"


def lines(report: CheckReport, format_: CheckFormat, *, explain: bool) -> Iterator[str]:
    """Yield the lines of a verdict; with ``explain`` what follows from each finding and what to do, and the command that shows more."""
    match format_:
        case CheckFormat.TABLE:
            yield from _text(report, explain=explain)
        case CheckFormat.NAGIOS:
            yield from _nagios(report, explain=explain)
        case CheckFormat.PROMETHEUS:
            yield from _prometheus(report)
        case _:
            raise AssertionError("the other formats are documents")


def _text(report: CheckReport, *, explain: bool) -> Iterator[str]:
    yield f"{report.status.name} {safe_text(report.node)}: {_summary(report)}"
    for finding in report.findings:
        yield f"  {finding.severity.name.lower()}: {_sentence(finding)}"
        if explain:
            yield from _explained(report, finding)
    if explain and report.error:
        yield "      do:   is an agent running there, and may you ask it? `proglog serve` starts one"
        yield f"      next: proglog status {shlex.join(['--addr', report.addr, *report.flags])}"


def _explained(report: CheckReport, finding: Finding) -> Iterator[str]:
    if finding.effect:
        yield f"      so:   {safe_text(finding.effect)}"
    if finding.at_risk:
        yield f"      risk: {safe_text(finding.at_risk)}"
    yield f"      do:   {safe_text(finding.advice)}"
    yield f"      next: {report.command(finding)}"


def _nagios(report: CheckReport, *, explain: bool) -> Iterator[str]:
    sentences = "; ".join(_sentence(finding) for finding in report.serious[:5]) or _summary(report)
    yield f"PROGLOG {report.status.name} - {_no_bars(safe_text(report.node))}: {_no_bars(sentences)}{_figures(report)}"
    for finding in report.serious[:50] if explain else ():
        yield from (_no_bars(line) for line in (_sentence(finding), *_explained(report, finding)))


def _figures(report: CheckReport) -> str:
    """Return performance data: value;warning;critical."""
    if report.snapshot is None:
        return ""
    limits, values = report.limits, _values(report)
    bounds = {
        "lag_records": f";{limits.lag_records};{limits.lag_records_critical}",
        "lag_seconds": f"s;{limits.lag_ms / 1000:g};{limits.lag_ms_critical / 1000:g}",
        "disk_free_percent": f"%;{limits.disk_free_ratio * 100:g}:;{limits.disk_free_ratio_critical * 100:g}:",
        "certificate_days": f";{limits.certificate_days:g}:;{limits.certificate_days_critical:g}:",
    }
    return " | " + " ".join(f"{name}={value:g}{bounds.get(name, '')}" for name, value in values.items())


def _values(report: CheckReport) -> dict[str, float]:
    """Return the figures that the rules judge."""
    snapshot = report.snapshot
    if snapshot is None:
        return {}
    log, behind, ends = snapshot.log, of_node(snapshot), snapshot.node.certificate_expires_at_ms
    values = {
        "members": len(snapshot.members),
        "members_alive": sum(member.status is MemberStatus.ALIVE for member in snapshot.members),
        "lag_records": behind.records,
        "lag_seconds": behind.age_ms / 1000,
        "damaged_ranges": len(log.damaged),
    }
    share = free_share(log)
    if share is not None:
        values["disk_free_percent"] = round(100 * share, 2)
    if ends:
        values["certificate_days"] = round((ends - snapshot.taken_at_ms) / 86_400_000, 5)
    return values


def _prometheus(report: CheckReport) -> Iterator[str]:
    addr = _label(report.addr)  # the same series whether the agent answers or not
    yield "# HELP proglog_check_status Outcome of proglog check: 0 ok, 1 warning, 2 critical, 3 unknown."
    yield "# TYPE proglog_check_status gauge"
    yield f'proglog_check_status{{addr="{addr}"}} {report.status.value}'
    yield "# HELP proglog_check_finding 1 for each thing that needs attention."
    yield "# TYPE proglog_check_finding gauge"
    found = {(finding.rule, finding.subject, finding.severity.name.lower()) for finding in report.findings}
    for rule, subject, severity in sorted(found):
        yield f'proglog_check_finding{{addr="{addr}",rule="{rule}",subject="{_label(subject)}",severity="{severity}"}} 1'
    for name, value in _values(report).items():
        yield f"# TYPE proglog_check_{name} gauge"
        yield f'proglog_check_{name}{{addr="{addr}"}} {value:g}'


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingShape:
    """Something that needs attention."""

    rule: str
    """Which rule found it."""
    key: str
    """Rule and subject: the same finding has the same key in every report."""
    severity: Literal["ok", "info", "warning", "critical"]
    subject: str
    """Member, origin or directory that it is about."""
    cause: str
    """What is wrong, to be read after the subject."""
    effect: str
    since_ms: int
    """How long it has lasted."""
    at_risk: str
    """What may be lost."""
    advice: str
    """What to do."""
    command: str
    """The command line that shows more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckShape:
    """What a check found."""

    status: Literal["ok", "warning", "critical", "unknown"]
    code: int
    """The exit code."""
    node: str | None
    """The agent that answered; null: none did."""
    addr: str
    error: str
    """Why there is no answer."""
    values: dict[str, float]
    """The figures that the rules judge."""
    findings: tuple[FindingShape, ...]
    """The worst first."""


CHECK = Shape("check", CheckShape, many=False)


def document(report: CheckReport) -> CheckShape:
    """Return a report for programs."""
    return CheckShape(
        status=cast("Literal['ok', 'warning', 'critical', 'unknown']", report.status.name.lower()),
        code=report.status.value,
        node=report.snapshot.node.name if report.snapshot else None,
        addr=report.addr,
        error=report.error,
        values=_values(report),
        findings=tuple(
            FindingShape(
                rule=finding.rule,
                key=finding.key,
                severity=cast("Literal['ok', 'info', 'warning', 'critical']", finding.severity.name.lower()),
                subject=finding.subject,
                cause=finding.cause,
                effect=finding.effect,
                since_ms=finding.since_ms,
                at_risk=finding.at_risk,
                advice=finding.advice,
                command=report.command(finding),
            )
            for finding in report.findings
        ),
    )


def _summary(report: CheckReport) -> str:
    snapshot, values = report.snapshot, _values(report)
    if snapshot is None:
        return safe_text(report.error)
    parts = [
        f"{values['members_alive']:g} of {values['members']:g} members alive",
        copy_words(snapshot, report.findings),
    ]
    if "disk_free_percent" in values:
        parts.append(f"disk {values['disk_free_percent']:.0f}% free")
    if "certificate_days" in values:
        left = values["certificate_days"] * 86_400
        parts.append(f"certificate ends in {duration_words(left)}" if left > 0 else "certificate has ended")
    return f"{_count(report.serious)}; {', '.join(parts)}"


def _count(serious: Sequence[Finding]) -> str:
    if not serious:
        return "nothing needs attention"
    return f"{len(serious)} need{'s' if len(serious) == 1 else ''} attention"


def _sentence(finding: Finding) -> str:
    return safe_text(f"{finding.subject} {finding.cause}")


def _no_bars(text: str) -> str:
    return text.replace("|", "/")


def _label(text: str) -> str:
    return safe_text(text).replace("\\", "\\\\").replace('"', '\\"')
