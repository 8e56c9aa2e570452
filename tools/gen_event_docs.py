"""Write docs/reference/events.md from the tables of events and metrics: `make docs`."""

from pathlib import Path

from proglog.observe.event_findings import EVENT_FINDINGS, shown_by
from proglog.observe.events import mark_of
from proglog.telemetry.emit import EventKind
from proglog.telemetry.events import EVENTS
from proglog.telemetry.metric_names import METRICS

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference" / "events.md"
HEAD = """# Events and metrics

Generated from the tables of `proglog/telemetry/` (events, log and membership events, metric names) by `make docs`.

## Events

An event is one line of telemetry on the agent's stderr: its name, its level, the node, and the keys below. One with
words under *dashboard* is also an entry of the agent's status, its name with hyphens; the agent keeps the last 256. The
dashboard shows it in its events panel and on the page of the member that it concerns.

| event | level | keys | dashboard | meaning |
|---|---|---|---|---|
"""
FINDINGS_HEAD = """
## Events and findings

Every event of level warning and above, some others, and the finding that shows it: in `proglog check` with its exit code, in the
line *health* of `proglog status`, on the dashboard's line of what needs attention, in the metrics `proglog_findings` and
`proglog_finding`, and on the line that says `ready` if it is there by then. Generated from
`proglog/observe/event_findings.py`.

| event | finding |
|---|---|
"""
METRICS_HEAD = """
## Metrics

Served by `--metrics-addr` at `/metrics`, in the text format of Prometheus, beside those of every Python process:
`process_` (memory, processor time, open files), `python_info` and `python_gc_`. `deploy/` has rules and a dashboard.

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def page() -> str:
    """Return the page."""
    events = "".join(_row(kind) for kind in EVENTS.values())
    metrics = "".join(
        f"| `{each.name}` | {each.kind} | {', '.join(each.labels)} | {each.meaning} |\n" for each in METRICS.values()
    )
    findings = "".join(
        f"| `{each.name}` | {shown_by(each)} |\n" for each in EVENTS.values() if each.name in EVENT_FINDINGS
    )
    return HEAD + events + FINDINGS_HEAD + findings + METRICS_HEAD + metrics


def _row(kind: EventKind) -> str:
    keys = ", ".join(key for key in (kind.subject, *kind.keys, kind.detail) if key)
    mark, _ = mark_of(kind.status_name)
    shown = f"{mark.shape} {kind.words}" if kind.words else ""
    return f"| `{kind.name}` | {kind.level} | {keys} | {shown} | {kind.meaning} |\n"


if __name__ == "__main__":
    TARGET.write_text(page())
