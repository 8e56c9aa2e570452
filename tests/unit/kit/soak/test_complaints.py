"""What agents say about their cluster is counted alike, whether the agent is stock serf or proglog."""

import json

from kit.soak.complaints import KEPT_LINES, of_proglog, of_stock

STOCK_LOG = """\
2026/01/31 12:00:00 [INFO] serf: EventMemberJoin: s2 127.0.0.1
2026/01/31 12:00:01 [DEBUG] memberlist: Failed UDP ping: s2 (timeout reached)
2026/01/31 12:00:01 [INFO] memberlist: Suspect s2 has failed, no acks received
2026/01/31 12:00:05 [INFO] memberlist: Marking s2 as failed, suspect timeout reached (1 peer confirmations)
2026/01/31 12:00:05 [INFO] serf: EventMemberFailed: s2 127.0.0.1
2026/01/31 12:00:06 [WARN] memberlist: Refuting a suspect message (from: s2)
2026/01/31 12:00:06 [ERR] agent.ipc: Failed to stream ack to ipc.client: use of closed network connection
2026/01/31 12:00:07 [ERR] memberlist: Decrypt packet failed
""".splitlines()


def test_a_stock_agents_log_is_counted() -> None:
    found = of_stock(STOCK_LOG)

    assert (found.failed, found.suspected, found.refuted) == (1, 1, 1)
    assert (found.warnings, found.errors) == (1, 1)
    assert found.lines == [STOCK_LOG[5], STOCK_LOG[7]]


def test_a_proglog_agents_telemetry_is_counted() -> None:
    events = [
        {"event": "member_suspected", "level": "info", "member": "s2"},
        {"event": "member_failed", "level": "warning", "member": "s2"},
        {"event": "suspicion_refuted", "level": "info"},
        {"event": "task_failed", "level": "error"},
    ]
    found = of_proglog([json.dumps(event) for event in events])

    assert (found.failed, found.suspected, found.refuted) == (1, 1, 1)
    assert (found.warnings, found.errors) == (1, 1)


def test_a_traceback_among_the_telemetry_counts_as_errors() -> None:
    found = of_proglog(["Traceback (most recent call last):", "[]"])

    assert found.errors == 2
    assert found.lines[0].startswith("Traceback")


def test_only_the_first_lines_are_kept() -> None:
    assert len(of_stock(["[WARN] again"] * 1000).lines) == KEPT_LINES
