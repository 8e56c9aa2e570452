"""What needs attention is said, with a reason and a next step; what does not is left alone."""

from dataclasses import replace

import pytest

from proglog.errors import ConfigError
from proglog.observe.health import Limits, Severity, findings, own_findings
from proglog.observe.plausible import free_share
from proglog.wire.model import (
    ClusterSnapshot,
    DamagedRange,
    FollowerStatus,
    FsyncPolicy,
    IndexState,
    LogState,
    LogStatus,
    Member,
    MembershipProblem,
    MemberStatus,
    NodeStatus,
    PeerOrigin,
    PeerState,
    PeerStatus,
    PolicyStatus,
    Segment,
)

NOW = 1_000_000_000
DAY = 86_400_000


def _node(**changes: object) -> NodeStatus:
    node = NodeStatus(
        name="a", version="1", origin=b"o", rpc_addr="", bind_addr="", data_dir="", started_at_ms=0,
        tls=True, acl=False, gossip_encrypted=False,
    )  # fmt: skip
    return replace(node, **changes)


def _log(**changes: object) -> LogStatus:
    log = LogStatus(
        start_offset=0, end_offset=0, bytes=0, segment_count=1, fsync=FsyncPolicy.ALWAYS, state=LogState.OK, disk_free_bytes=50,
        disk_total_bytes=100, records_appended=0, bytes_appended=0, records_served=0,
    )  # fmt: skip
    return replace(log, **changes)


def _member(name: str, status: MemberStatus) -> Member:
    return Member(
        name=name, addr="", status=status, tags={}, rtt_ms=0, status_since_ms=12_000, incarnation=1, local=False
    )


def _peer(state: PeerState = PeerState.STREAMING, error: str = "", **origin: object) -> PeerStatus:
    values = {
        "origin": b"\xb0", "node_name": "b", "next_sequence": 1, "peer_next_sequence": 1, "lag_records": 0,
        "lag_bytes": 0, "lag_ms": 0, "peer_lag_records": 0, "source": True, **origin,
    }  # fmt: skip
    return PeerStatus(
        name="b", rpc_addr="", state=state, error=error, origins=(PeerOrigin(**values),), records_copied=0,
        bytes_copied=0, records_dropped=0, retry_in_ms=None,
    )  # fmt: skip


def _snapshot(**changes: object) -> ClusterSnapshot:
    snapshot = ClusterSnapshot(
        node=_node(), log=_log(), members=(), origins=(), peers=(), segments=(), events=(), taken_at_ms=NOW
    )
    return replace(snapshot, **changes)


def _said(snapshot: ClusterSnapshot) -> list[tuple[Severity, str, str]]:
    return [(alert.severity, alert.subject, alert.cause) for alert in findings(snapshot)]


def test_a_healthy_cluster_raises_nothing():
    alive = (_member("a", MemberStatus.ALIVE), _member("b", MemberStatus.LEFT))
    assert findings(_snapshot(members=alive, peers=(_peer(),))) == ()


def test_a_failed_member_is_critical():
    snapshot = _snapshot(members=(_member("b", MemberStatus.FAILED),))
    assert _said(snapshot) == [(Severity.CRITICAL, "b", "failed 12 s ago")]


@pytest.mark.parametrize("state", ["full", "poisoned", "closed"])
def test_a_log_that_takes_nothing_is_critical(state: str):
    assert _said(_snapshot(log=_log(state=state))) == [(Severity.CRITICAL, "a", f"log is {state}")]


def test_damage_is_reported_with_its_offsets():
    damaged = (DamagedRange(start_offset=1_000, end_offset=1_010, detail="checksum"),)
    assert _said(_snapshot(log=_log(damaged=damaged))) == [
        (Severity.CRITICAL, "a", "cannot read 10 offsets from 1,000 on: checksum")
    ]


@pytest.mark.parametrize(("free", "severity"), [(9, Severity.WARNING), (4, Severity.CRITICAL)])
def test_a_disk_that_fills_up_is_reported_in_time(free: int, severity: Severity):
    assert [alert.severity for alert in findings(_snapshot(log=_log(disk_free_bytes=free)))] == [severity]


def test_a_stream_that_is_down_is_reported_once_when_its_member_failed():
    down = _peer(PeerState.BACKING_OFF, "connection refused")
    assert _said(_snapshot(peers=(down,))) == [(Severity.WARNING, "b", "cannot be copied from: connection refused")]
    failed = _snapshot(peers=(down,), members=(_member("b", MemberStatus.FAILED),))
    assert [alert.key for alert in findings(failed)] == ["member-failed/b"]


def test_a_lag_counts_only_where_the_agent_copies_from():
    far = {"lag_records": 20_000, "lag_bytes": 5_000_000, "lag_ms": 3_100}
    assert _said(_snapshot(peers=(_peer(**far),))) == [
        (Severity.WARNING, "a", "trails b by 20,000 records, 5.0 MB, 3.1 s")
    ]
    elsewhere = (_peer(**far, source=False), replace(_peer(), name="c"))
    assert findings(_snapshot(peers=elsewhere)) == ()


def test_an_origin_whose_every_source_was_set_aside_is_reported():
    far = {"lag_records": 4, "lag_ms": 11_000, "source": False}
    (found,) = findings(_snapshot(peers=(_peer(**far),)))
    assert (found.rule, found.severity, found.since_ms) == ("no-source", Severity.WARNING, 11_000)
    assert found.cause == "trails b by 4 records, 11 s, and no peer is asked for them: each was set aside"


@pytest.mark.parametrize(
    ("trend", "severity"), [(0.0, Severity.CRITICAL), (90.0, Severity.CRITICAL), (-90_000.0, Severity.WARNING)]
)
def test_a_lag_of_minutes_is_critical_unless_it_shrinks(trend: float, severity: Severity):
    far = {"lag_records": 2_000_000, "lag_ms": 400_000, "lag_trend": trend}
    assert [alert.severity for alert in findings(_snapshot(peers=(_peer(**far),)))] == [severity]


def test_where_a_lag_goes_is_part_of_the_alert():
    growing = findings(_snapshot(peers=(_peer(lag_records=20_000, lag_ms=3_000, lag_trend=400.0),)))
    assert growing[0].cause == "trails b by 20,000 records, 3.0 s; growing by 400 records/s"


def test_what_an_agent_says_of_itself_is_judged_apart():
    snapshot = _snapshot(log=_log(state=LogState.FULL), members=(_member("c", MemberStatus.FAILED),))
    assert [alert.key for alert in own_findings(snapshot)] == ["log-state/a"]


def test_a_raised_lag_stays_until_it_is_well_below_its_limit():
    def keys(records: int, raised: frozenset[str]) -> frozenset[str]:
        found = findings(_snapshot(peers=(_peer(lag_records=records, lag_ms=2_000),)), raised=raised)
        return frozenset(alert.key for alert in found)

    assert keys(9_000, frozenset()) == frozenset()
    raised = keys(10_001, frozenset())
    assert raised
    assert keys(9_000, raised) == raised
    assert keys(8_000, raised) == frozenset()


def test_a_peer_that_lags_behind_us_is_reported():
    follower = FollowerStatus(name="b", connected=True, since_ms=9_000, lag_records=10_001, lag_ms=2_500)
    behind = _snapshot(peers=(_peer(),), followers=(follower,))
    assert _said(behind) == [(Severity.WARNING, "b", "trails a by 10,001 records, 2.5 s")]
    at_once = replace(follower, lag_records=1_000_000, lag_ms=1_900)
    assert findings(replace(behind, followers=(at_once,))) == ()


def test_what_is_on_its_way_is_no_lag_however_many_records_it_is():
    assert findings(_snapshot(peers=(_peer(lag_records=5_000_000, lag_ms=1_999),))) == ()
    assert findings(_snapshot(peers=(_peer(lag_records=5_000_000, lag_ms=2_000),))) != ()


@pytest.mark.parametrize(
    ("days", "severity", "what"),
    [
        (13, Severity.WARNING, "certificate ends in 13 d"),
        (1, Severity.CRITICAL, "certificate ends in 1 d"),
        (-1, Severity.CRITICAL, "certificate has ended"),
    ],
)
def test_a_certificate_is_reported_before_it_ends(days: int, severity: Severity, what: str):
    assert _said(_snapshot(node=_node(certificate_expires_at_ms=NOW + days * DAY))) == [(severity, "a", what)]


def test_a_missing_index_is_reported():
    segment = Segment(
        base_offset=4, end_offset=5, bytes=1, record_count=1, batch_count=1, first_timestamp_ms=0, max_timestamp_ms=0,
        active=False, index_state=IndexState.MISSING, index_bytes=0,
    )  # fmt: skip
    assert _said(_snapshot(segments=(segment,))) == [
        (Severity.WARNING, "a", "1 segment(s) without an index, from offset 4 on")
    ]


def test_a_repair_is_only_information_and_the_worst_comes_first():
    snapshot = _snapshot(log=_log(recovery="cut 3 torn bytes", state=LogState.FULL))
    assert [alert.severity for alert in findings(snapshot)] == [Severity.CRITICAL, Severity.INFO]


def test_every_alert_says_what_to_do():
    snapshot = _snapshot(
        node=_node(certificate_expires_at_ms=1),
        log=_log(
            state=LogState.FULL,
            disk_free_bytes=1,
            recovery="x",
            damaged=(DamagedRange(start_offset=0, end_offset=1, detail=""),),
        ),
        members=(_member("c", MemberStatus.FAILED),),
        peers=(_peer(lag_records=5, lag_ms=60_000), _peer(PeerState.BACKING_OFF)),
        followers=(FollowerStatus(name="b", connected=True, since_ms=9_000, lag_records=99_999, lag_ms=2_500),),
    )
    found = findings(snapshot)
    assert len(found) == 9
    assert all(alert.advice.endswith((".", "?")) for alert in found)


def test_limits_check_themselves():
    with pytest.raises(ConfigError, match="lag_records is -1"):
        Limits(lag_records=-1)
    with pytest.raises(ConfigError, match="lag_ms_critical is 5; expected at least the warning's 10"):
        Limits(lag_ms=10, lag_ms_critical=5)
    with pytest.raises(ConfigError, match="disk_free_ratio_critical"):
        Limits(disk_free_ratio=0.1, disk_free_ratio_critical=0.2)
    with pytest.raises(ConfigError, match="clear_ratio"):
        Limits(clear_ratio=0)


@pytest.mark.parametrize(("critical", "severity"), [(True, Severity.CRITICAL), (False, Severity.WARNING)])
def test_an_agent_that_may_not_be_in_its_cluster_says_so(critical: bool, severity: Severity) -> None:
    problem = MembershipProblem(key="alone", detail="is isolated: no answer from seed:8401", critical=critical)
    for alerts in (findings, own_findings):
        (alert,) = alerts(_snapshot(node=_node(membership_problems=(problem,))))
        assert (alert.severity, alert.subject, alert.cause) == (severity, "a", problem.detail)


def test_rules_that_were_refused_are_a_finding_with_what_stays_in_force():
    policy = PolicyStatus(
        generation=2, wanted=3, rules=14, age_ms=7_200_000, refused="policy.csv line 3: ...", refused_ms=9_000
    )
    (found,) = findings(_snapshot(node=_node(policy=policy)))
    assert (found.rule, found.severity, found.since_ms) == ("policy", Severity.WARNING, 9_000)
    assert found.cause == "refused changed access rules: policy.csv line 3: ..."
    assert found.effect.startswith("Generation 3 is wanted; generation 2, 14 rules, has been in force for 2 h")
    assert findings(_snapshot(node=_node(policy=replace(policy, refused="")))) == ()


def test_how_long_an_agent_has_run_is_no_matter_of_its_wall_clock():
    set_back = _snapshot(uptime_ms=90_000, taken_at_ms=5, node=_node(started_at_ms=NOW))
    assert (set_back.up_ms, replace(set_back, uptime_ms=None).up_ms) == (90_000, 0)
    assert replace(set_back, uptime_ms=None, taken_at_ms=NOW + 7).up_ms == 7


@pytest.mark.parametrize(
    ("free", "total", "share"),
    [(1, 4, 0.25), (0, 4, 0.0), (5, 4, None), (1, 2**63 - 1, None), (2**63 - 1, 1, None), (-1, 4, None), (0, 0, None)],
)
def test_no_share_is_computed_of_a_disk_that_cannot_be(free: int, total: int, share: float | None):
    assert free_share(_log(disk_free_bytes=free, disk_total_bytes=total)) == share


def test_what_cannot_be_is_named_and_not_judged():
    absurd = _snapshot(
        log=_log(disk_free_bytes=1, disk_total_bytes=2**63 - 1, bytes=2**64),
        members=(replace(_member("b", MemberStatus.ALIVE), status_since_ms=2**63 - 1),),
        peers=(_peer(lag_records=2**63 - 1, source=False),),
    )
    (found,) = [each for each in findings(absurd) if each.subject == "a"]
    assert (found.rule, found.severity) == ("implausible", Severity.WARNING)
    assert found.cause == (
        "reports what cannot be: a disk with 1 B free of 9.2 EB; a log of 18.4 EB;"
        " b to have been alive for 106,751,991,167 days"
    )
