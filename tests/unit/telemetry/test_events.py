"""The names of events and metrics are a contract with who operates an agent."""

import ast
import re
from pathlib import Path

from structlog.testing import capture_logs

import proglog
from proglog.agent.timeline import Timeline
from proglog.gossip.events import MemberEventKind
from proglog.telemetry import events
from proglog.telemetry.emit import EventKind, emitter, log_event
from proglog.telemetry.events import EVENTS
from proglog.telemetry.metric_names import METRICS, MetricKind

SOURCE = Path(proglog.__file__).parent
MODULES = [
    path
    for path in sorted(SOURCE.rglob("*.py"))
    if not path.stem.endswith(("_pb2", "_pb2_grpc"))
    and not (path.parent.name == "telemetry" and path.stem.endswith("events"))
]
MEMBER_EVENTS = {kind.value.replace("-", "_") for kind in MemberEventKind}
LOGGING = re.compile(r"(^|\.|_)logger\.(debug|info|warning|error|exception|critical)$")


def test_event_names_are_snake_case_and_say_what_they_mean() -> None:
    assert EVENTS
    assert [name for name in EVENTS if not re.fullmatch(r"[a-z]+(_[a-z]+)+", name)] == []
    assert [kind.name for kind in EVENTS.values() if not re.match(r"[A-Z].*\.$", kind.meaning)] == []
    assert {kind.level for kind in EVENTS.values()} == {"debug", "info", "warning", "error"}
    assert {ender for kind in EVENTS.values() for ender in kind.ended_by} <= EVENTS.keys()


def test_every_event_is_reported_by_the_emitter_and_no_other_way() -> None:
    direct = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in MODULES
        if not path.is_relative_to(SOURCE / "client")  # a library logs as libraries do: `logging`, under its name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and LOGGING.search(ast.unparse(node.func))
    ]

    assert direct == [], "declare it in telemetry/events.py and emit it"


def test_every_declared_event_is_emitted_somewhere() -> None:
    source = "\n".join(path.read_text() for path in MODULES)
    constants = {value.name: name for name, value in vars(events).items() if isinstance(value, EventKind)}

    assert constants.keys() == EVENTS.keys()
    silent = [
        name for name in EVENTS.keys() - MEMBER_EVENTS if not re.search(rf'\b{constants[name]}\b|"{name}"', source)
    ]
    assert silent == [], "emit these, or do not declare them"


def test_changes_of_members_are_reported_under_serfs_names() -> None:
    assert EVENTS.keys() >= MEMBER_EVENTS


def test_one_call_both_logs_an_event_and_shows_it() -> None:
    timeline = Timeline(lambda: 7, "a")

    with capture_logs() as logs:
        timeline.emit(events.REPLICATION_FORKED, "b", "two histories", origin="00ff")
        timeline.emit(events.LOG_FULL)
        timeline.emit(events.RPC_FINISHED, subject="root", code="OK")

    assert [(each.at_ms, each.kind, each.subject, each.detail) for each in timeline.events] == [
        (7, "replication-forked", "b", "origin 00ff: two histories"),
        (7, "log-full", "a", ""),
    ]
    assert logs[0] == {
        "event": "replication_forked", "log_level": "error", "node": "a", "peer": "b", "detail": "two histories",
        "origin": "00ff",
    }  # fmt: skip
    assert [(log["event"], log["log_level"]) for log in logs[1:]] == [("log_full", "error"), ("rpc_finished", "debug")]
    assert logs[2]["subject"] == "root"


def test_a_bug_is_logged_with_its_exception() -> None:
    bug = KeyError("x")
    with capture_logs() as logs:
        emitter(node="a")(events.GOSSIP_STEP_FAILED, exc_info=bug)
        log_event(events.MEMBER_HANDLER_FAILED, "b", exc_info=bug)

    assert [log["exc_info"] for log in logs] == [bug, bug]
    assert logs[1]["member"] == "b"


def test_metric_names_follow_the_conventions() -> None:
    assert METRICS
    for name, metric in METRICS.items():
        assert re.fullmatch(r"proglog_[a-z]+(_[a-z]+)*", name)
        assert name.endswith("_total") == (metric.kind is MetricKind.COUNTER), name
        assert metric.kind is not MetricKind.HISTOGRAM or name.endswith("_seconds"), name
        assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)


def test_no_metric_is_also_an_event() -> None:
    assert EVENTS.keys().isdisjoint(METRICS)
