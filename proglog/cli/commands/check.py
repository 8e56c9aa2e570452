"""Report a cluster's health, for cron and monitoring. Exits 0 ok, 1 warning, 2 critical, 3 unknown.

Reports the dashboard's findings: members, streams, copies, lag, log, disk, rules, certificate. One run is enough,
because the agent measures trends. Thresholds are WARNING:CRITICAL; a single number sets only the warning. With --each,
also queries every living member about its own log, disk and certificate, with the same credentials.

    proglog check --explain
    proglog check --each --lag-seconds 5:60 -o nagios
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand
from typer.exceptions import TyperException

from proglog.cli import diagnostics, options, output
from proglog.cli.check_report import CHECK, CheckFormat, CheckReport, CheckStatus, document, lines
from proglog.cli.stdout import OutputError
from proglog.errors import ConfigError, ProglogError
from proglog.observe.health import Finding, Limits, Severity, findings, own_findings
from proglog.quantities import count, duration, number
from proglog.wire.model import ClusterSnapshot, Member, MemberStatus

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.security.tls import TLSFiles

THRESHOLDS = "Thresholds"
_MAX_MEMBERS = 64
_DOCUMENTS = (CheckFormat.JSON, CheckFormat.JSONL, CheckFormat.PLAIN)
SHAPES = (CHECK,)
_METAVAR = "WARN[:CRIT]"
_DEFAULT = Limits()

LagRecords = Annotated[
    str,
    typer.Option(
        "--lag-records",
        metavar=_METAVAR,
        help="Replication lag in records, lasting 2 s or more",
        rich_help_panel=THRESHOLDS,
    ),
]
LagSeconds = Annotated[
    str, typer.Option("--lag-seconds", metavar=_METAVAR, help="Replication lag in seconds", rich_help_panel=THRESHOLDS)
]
DiskFree = Annotated[
    str,
    typer.Option("--disk-free", metavar=_METAVAR, help="Free disk space, in percent", rich_help_panel=THRESHOLDS),
]
CertificateDays = Annotated[
    str,
    typer.Option(
        "--certificate-days", metavar=_METAVAR, help="Days until the certificate expires", rich_help_panel=THRESHOLDS
    ),
]


class Command(TyperCommand):
    """Refuses a line that it does not understand with 3: the 2 of other verbs would read as critical."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except TyperException as exc:
            exc.exit_code = CheckStatus.UNKNOWN
            raise


def main(
    output_: Annotated[
        CheckFormat, typer.Option("--output", "-o", envvar="PROGLOG_OUTPUT", help="Format of the outcome")
    ] = CheckFormat.TABLE,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Add each finding's effect, the remedy, and the command that shows more"),
    ] = False,
    each: Annotated[bool, typer.Option("--each", help="Also query every living member about itself")] = False,
    lag_records: LagRecords = f"{_DEFAULT.lag_records}:{_DEFAULT.lag_records_critical}",
    lag_seconds: LagSeconds = f"{_DEFAULT.lag_ms // 1000}:{_DEFAULT.lag_ms_critical // 1000}",
    disk_free: DiskFree = f"{_DEFAULT.disk_free_ratio * 100:g}:{_DEFAULT.disk_free_ratio_critical * 100:g}",
    certificate_days: CertificateDays = f"{_DEFAULT.certificate_days:g}:{_DEFAULT.certificate_days_critical:g}",
    members: Annotated[
        int,
        typer.Option(
            "--members",
            metavar="N",
            help="Minimum number of living members; fewer is critical, 0: no minimum",
            rich_help_panel=THRESHOLDS,
        ),
    ] = 0,
    *,
    agent: options.AgentFlags,
) -> None:
    try:
        limits = replace(thresholds(lag_records, lag_seconds, disk_free, certificate_days), members_alive=members)
        report = CheckReport(addr=agent.addr, limits=limits, flags=agent.tls_words)
        tls = agent.tls
        report = agent.with_client(lambda client: _ask(client, report, tls, each=each))
    except ConfigError as exc:
        diagnostics.error(str(exc))
        raise typer.Exit(CheckStatus.UNKNOWN) from exc
    except ProglogError as exc:
        report = replace(report, error=str(exc))
    try:
        if output_ in _DOCUMENTS:
            output.one(document(report), CHECK, output.Format(output_.value))
        else:
            for line in lines(report, output_, explain=explain):
                output.line(line)
            output.flush()
    except OutputError as exc:  # its own code would read as a warning
        diagnostics.error(str(exc))
        raise typer.Exit(CheckStatus.UNKNOWN) from exc
    raise typer.Exit(report.status)


async def _ask(client: "Client", report: CheckReport, tls: "TLSFiles | None", *, each: bool) -> CheckReport:
    snapshot = await client.status(segments=True)
    found = list(findings(snapshot, limits=report.limits))
    if each:
        others = [member for member in snapshot.members if _answers(member)]
        elsewhere = await asyncio.gather(*(_of(member, report, tls, client) for member in others[:_MAX_MEMBERS]))
        if len(others) > _MAX_MEMBERS:
            found.append(_unasked(snapshot.node.name, len(others) - _MAX_MEMBERS))
        found += [each for theirs in elsewhere for each in theirs]
    return replace(report, snapshot=snapshot, findings=tuple(sorted(found, key=lambda each: -each.severity)))


def _unasked(node: str, count: int) -> Finding:
    return Finding(
        key="unasked",
        severity=Severity.WARNING,
        subject=node,
        cause=f"has {count:,} more members than --each asks: nothing was heard of their logs, disks and certificates",
        advice=f"Ask those beyond the first {_MAX_MEMBERS} themselves, with --addr.",
        verb="members",
    )


def _answers(member: Member) -> bool:
    return member.status is MemberStatus.ALIVE and not member.local and bool(member.rpc_addr)


async def _of(member: Member, report: CheckReport, tls: "TLSFiles | None", first: "Client") -> list[Finding]:
    """Return what a member says of itself, as patiently as the first was asked; that it does not answer, if so."""
    from proglog.client import connect

    try:
        async with connect(member.rpc_addr, tls=tls, timeout=first.timeout) as client:
            own: ClusterSnapshot = await client.status()
    except ProglogError as exc:
        silent = Finding(
            key=f"silent/{member.name}",
            severity=Severity.WARNING,
            subject=member.name,
            cause=f"is alive and does not answer: {exc}",
            advice="Check its RPC address, certificates and rules.",
            at=member.rpc_addr,
        )
        return [silent]
    return [replace(each, at=member.rpc_addr) for each in own_findings(own, limits=report.limits)]


def thresholds(lag_records: str, lag_seconds: str, disk_free: str, certificate_days: str) -> Limits:
    """Return the limits that four flags say.

    Raises:
        ConfigError: One is no threshold, or its critical side is the milder one.
    """
    records, records_critical = _pair(
        "--lag-records", lag_records, _DEFAULT.lag_records_critical, rising=True, parse=count
    )
    seconds, seconds_critical = _pair(
        "--lag-seconds", lag_seconds, _DEFAULT.lag_ms_critical / 1000, rising=True, parse=_seconds
    )
    free, free_critical = _pair("--disk-free", disk_free, 100 * _DEFAULT.disk_free_ratio_critical, rising=False)
    days, days_critical = _pair(
        "--certificate-days", certificate_days, _DEFAULT.certificate_days_critical, rising=False
    )
    return Limits(
        lag_records=round(records),
        lag_records_critical=round(records_critical),
        lag_ms=round(seconds * 1000),
        lag_ms_critical=round(seconds_critical * 1000),
        disk_free_ratio=free / 100,
        disk_free_ratio_critical=free_critical / 100,
        certificate_days=days,
        certificate_days_critical=days_critical,
    )


def _seconds(flag: str, text: str) -> float:
    return duration(flag, text, bare="s")


def _pair(
    flag: str, text: str, critical: float, *, rising: bool, parse: Callable[[str, str], float] = number
) -> tuple[float, float]:
    """Return warning and critical; a critical side that is not given never is the milder one."""
    warn, colon, crit = text.partition(":")
    first = parse(flag, warn)
    second = parse(flag, crit) if colon else max(first, critical) if rising else min(first, critical)
    if second < first if rising else second > first:
        side = "at least" if rising else "at most"
        raise ConfigError(f"{flag} {text!r:.60}: expected {_METAVAR}, the critical side {side} the warning")
    return first, second
