"""Tests that share the processors with others get a second try, and every first failure is listed.

Only tests with real processes, terminals and clusters: what computes the same each time has one try. A test alone in its
run has one try, too.
"""

import os
from pathlib import Path

import pytest

FOLDERS = frozenset({"cluster", "e2e", "integration", "storage", "tui"})
TRIES = 2
_TESTS = Path(__file__).parent


class Reruns:
    """Lists what failed at first."""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        failed = terminalreporter.stats.get("rerun", [])
        if failed:
            terminalreporter.section("failed at first, beside other tests: a defect of the test or of proglog")
        for report in failed:
            terminalreporter.write_line(f"RERUN {report.nodeid} {report.when}")
            terminalreporter.write_line("\n".join(str(report.longreprtext).splitlines()[-25:]))


def pytest_configure(config: pytest.Config) -> None:
    """Report in the process that reports."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(Reruns(), "reruns")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark those that get a second try."""
    if "PYTEST_XDIST_WORKER" in os.environ and item.path.relative_to(_TESTS).parts[0] in FOLDERS:
        item.add_marker(pytest.mark.flaky(reruns=TRIES - 1))
