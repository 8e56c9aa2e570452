"""Thresholds are read strictly; a verdict says the same in four formats, and no foreign text breaks any of them."""

import json
from dataclasses import replace

import pytest

from proglog.cli.check_report import CHECK, CheckFormat, CheckReport, CheckStatus, document, lines
from proglog.cli.commands.check import thresholds
from proglog.errors import ConfigError
from proglog.observe.health import Limits, findings
from proglog.wire.model import ClusterSnapshot, FsyncPolicy, LogState, LogStatus, Member, MemberStatus, NodeStatus

NOW = 1_790_000_000_000
HOSTILE = 'a|b"c\\d\n\x1b[31m'


def _snapshot(name: str = "a", failed: str = "") -> ClusterSnapshot:
    node = NodeStatus(
        name=name, version="1", origin=b"o", rpc_addr="", bind_addr="", data_dir="", started_at_ms=0, tls=True,
        acl=False, gossip_encrypted=False, certificate_expires_at_ms=NOW + 30 * 86_400_000,
    )  # fmt: skip
    log = LogStatus(
        start_offset=0, end_offset=0, bytes=0, segment_count=1, fsync=FsyncPolicy.ALWAYS, state=LogState.OK, disk_free_bytes=50,
        disk_total_bytes=100, records_appended=0, bytes_appended=0, records_served=0,
    )  # fmt: skip
    members = tuple(
        Member(
            name=each, addr="", status=status, tags={}, rtt_ms=0, status_since_ms=12_000, incarnation=1,
            local=each == name,
        )
        for each, status in ((name, MemberStatus.ALIVE), (failed, MemberStatus.FAILED))
        if each
    )  # fmt: skip
    return ClusterSnapshot(
        node=node, log=log, members=members, origins=(), peers=(), segments=(), events=(), taken_at_ms=NOW
    )


def _verdict(snapshot: ClusterSnapshot) -> CheckReport:
    return CheckReport(addr="127.0.0.1:8400", limits=Limits(), snapshot=snapshot, findings=findings(snapshot))


def _written(report: CheckReport, format_: CheckFormat, *, explain: bool = False) -> list[str]:
    if format_ in (CheckFormat.JSON, CheckFormat.JSONL, CheckFormat.PLAIN):
        return json.dumps(CHECK.document(document(report)), indent=2).splitlines()
    return list(lines(report, format_, explain=explain))


def test_a_cluster_that_is_well():
    report = _verdict(_snapshot())
    assert report.status is CheckStatus.OK
    assert _written(report, CheckFormat.TABLE) == [
        "OK a: nothing needs attention; 1 of 1 members alive, in step, disk 50% free, certificate ends in 30 d"
    ]


def test_an_explanation_says_what_to_do_and_the_next_command():
    report = replace(_verdict(_snapshot(failed="b")), flags=("--tls-ca-file", "my ca.pem"))
    assert report.status is CheckStatus.CRITICAL
    told = _written(report, CheckFormat.TABLE, explain=True)
    assert told[1] == "  critical: b failed 12 s ago"
    assert told[2].startswith("      do:   Restart it")
    assert told[3] == "      next: proglog members --addr 127.0.0.1:8400 --tls-ca-file 'my ca.pem'"


def test_the_line_of_nagios_carries_the_figures_with_their_limits():
    line = _written(_verdict(_snapshot(failed="b")), CheckFormat.NAGIOS)[0]
    assert line == (
        "PROGLOG CRITICAL - a: b failed 12 s ago | members=2 members_alive=1 lag_records=0;10000;1000000 "
        "lag_seconds=0s;10;300 damaged_ranges=0 disk_free_percent=50%;10:;5: certificate_days=30;14:;2:"
    )


def test_prometheus_gets_a_status_and_each_alert_once():
    told = _written(_verdict(_snapshot(failed="b")), CheckFormat.PROMETHEUS)
    assert 'proglog_check_status{addr="127.0.0.1:8400"} 2' in told
    assert 'proglog_check_finding{addr="127.0.0.1:8400",rule="member-failed",subject="b",severity="critical"} 1' in told
    assert 'proglog_check_members_alive{addr="127.0.0.1:8400"} 1' in told


def test_json_says_everything():
    told = json.loads("\n".join(_written(_verdict(_snapshot(failed="b")), CheckFormat.JSON)))
    assert (told["status"], told["code"], told["findings"][0]["rule"]) == ("critical", 2, "member-failed")
    assert told["findings"][0]["command"] == "proglog members --addr 127.0.0.1:8400"


@pytest.mark.parametrize("format_", CheckFormat)
def test_foreign_text_breaks_no_format(format_: CheckFormat):
    written = _written(_verdict(_snapshot(HOSTILE, HOSTILE + "2")), format_, explain=True)
    if written[0] == "{":
        assert json.loads("\n".join(written))["node"] == HOSTILE
        return
    assert not any(set("\x1b\n") & set(line) for line in written)
    if format_ is CheckFormat.NAGIOS:
        assert [line.count("|") for line in written] == [1, *[0] * (len(written) - 1)]
    if format_ is CheckFormat.PROMETHEUS:
        assert all('\\"c\\\\d' in line for line in written if line.startswith("proglog_check_finding"))


@pytest.mark.parametrize("format_", CheckFormat)
def test_without_an_answer_nothing_is_known(format_: CheckFormat):
    report = CheckReport(addr="127.0.0.1:1", limits=Limits(), error="cannot reach 127.0.0.1:1")
    assert report.status is CheckStatus.UNKNOWN
    told = "\n".join(_written(report, format_))
    assert "3" in told if format_ is CheckFormat.PROMETHEUS else "unknown" in told.lower()


def test_thresholds_are_pairs_and_the_milder_half_of_one_follows_the_other():
    limits = thresholds("5:7", "1.5", "2", "30:10")
    assert (limits.lag_records, limits.lag_records_critical) == (5, 7)
    assert (limits.lag_ms, limits.lag_ms_critical) == (1_500, 300_000)
    assert (limits.disk_free_ratio, limits.disk_free_ratio_critical) == (0.02, 0.02)
    assert (limits.certificate_days, limits.certificate_days_critical) == (30, 10)


@pytest.mark.parametrize("text", ["", "x", "5:x", "-1", "nan", "inf", "7:5", "1:2:3"])
def test_what_is_no_threshold_is_refused_by_name(text: str):
    with pytest.raises(ConfigError, match="--lag-records"):
        thresholds(text, "1", "1", "1")


def test_an_end_of_a_certificate_is_said_to_the_minute_and_when_it_has_come():
    snapshot = _snapshot()
    for ends, words in ((276_000, "certificate ends in 4 min 36 s"), (-60_000, "certificate has ended")):
        node = replace(snapshot.node, certificate_expires_at_ms=NOW + ends)
        assert _written(_verdict(replace(snapshot, node=node)), CheckFormat.TABLE)[0].endswith(words)
