"""The names of events and metrics are a contract with who operates an agent."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import proglog
from proglog.gossip.events import MemberEventKind
from proglog.telemetry import names
from proglog.telemetry.names import EVENTS, METRICS, MetricKind

SOURCE = Path(proglog.__file__).parent
LOGGER = re.compile(r"(^|\.|_)logger$|get_logger\(.*\)$")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def logged_events() -> Iterator[tuple[str, str]]:
    """Where each event with a literal name is logged, and that name."""
    for path in sorted(SOURCE.rglob("*.py")):
        if path.name.endswith(("_pb2.py", "_pb2_grpc.py")):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in LEVELS
                and LOGGER.search(ast.unparse(node.func.value))
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
            ):
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node.args[0].value


def test_event_names_are_snake_case_and_say_what_they_mean() -> None:
    assert EVENTS
    assert [name for name in EVENTS if not re.fullmatch(r"[a-z]+(_[a-z]+)+", name)] == []
    assert [name for name, meaning in EVENTS.items() if not re.match(r"[A-Z].*\.$", meaning)] == []


def test_what_the_source_logs_is_declared() -> None:
    found = list(logged_events())

    assert any(name == "policy_rejected" for _, name in found)
    assert [(place, name) for place, name in found if name not in EVENTS] == [], "declare it in telemetry/names.py"


def test_what_is_declared_is_told_by_somebody() -> None:
    source = [path.read_text() for path in SOURCE.rglob("*.py") if path.name != "names.py"]
    by_constant = {
        getattr(names, constant): constant
        for constant in vars(names)
        if constant.isupper() and isinstance(getattr(names, constant), str)
    }
    members = {f"member_{kind.value.removeprefix('member-')}" for kind in MemberEventKind}

    silent = [
        event
        for event in EVENTS.keys() - members
        if not any(f'"{event}"' in text or f"names.{by_constant[event]}" in text for text in source)
    ]

    assert silent == [], "nobody tells these: log them, or do not declare them"


def test_changes_of_members_are_logged_under_serfs_names() -> None:
    assert {kind.value.replace("-", "_") for kind in MemberEventKind} <= EVENTS.keys()


def test_metric_names_follow_the_conventions() -> None:
    assert METRICS
    for name, metric in METRICS.items():
        assert re.fullmatch(r"proglog_[a-z]+(_[a-z]+)*", name)
        assert name.endswith("_total") == (metric.kind is MetricKind.COUNTER), name
        assert metric.kind is not MetricKind.HISTOGRAM or name.endswith("_seconds"), name
        assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)


def test_no_metric_is_also_an_event() -> None:
    assert EVENTS.keys().isdisjoint(METRICS)
