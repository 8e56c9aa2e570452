"""How long each test took and how much processor time it used: kept in ``.durations.json``, slowest first.

Workers of pytest-xdist measure; the process that started them collects. A run of a few tests leaves the others' figures
as they were. Processor time is that of the worker and of the child processes that ended meanwhile.
"""

import json
import os
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / ".durations.json"
_CPU = "cpu_seconds"
_STARTED = pytest.StashKey[float]()


class Durations:
    """Seconds and processor seconds by test, over all of its phases."""

    def __init__(self) -> None:
        self.took = defaultdict[str, list[float]](lambda: [0.0, 0.0])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        took = self.took[report.nodeid]
        took[0] += report.duration
        took[1] = max([took[1], *(float(value) for name, value in report.user_properties if name == _CPU)])

    def pytest_sessionfinish(self) -> None:
        kept = json.loads(FILE.read_text()) if FILE.exists() else {}
        kept |= {name: [round(seconds, 3) for seconds in took] for name, took in self.took.items()}
        by_time = sorted(kept.items(), key=lambda entry: entry[1], reverse=True)
        FILE.write_text(
            "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(took)}" for name, took in by_time) + "\n}\n"
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        total = sum(cpu for _, cpu in self.took.values())
        terminalreporter.write_line(
            f"{total:.0f} s of processor time in {len(self.took)} tests; each is in {FILE.name}"
        )


def pytest_configure(config: pytest.Config) -> None:
    """Collect in the process that reports; a worker only measures."""
    if "PYTEST_XDIST_WORKER" not in os.environ and not config.option.collectonly:
        config.pluginmanager.register(Durations(), "durations")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Take the time before anything of the test runs."""
    item.stash[_STARTED] = _processor_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hand what was used since the start on with each phase's report."""
    report = yield
    report.user_properties.append((_CPU, _processor_seconds() - item.stash[_STARTED]))
    return report


def _processor_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
