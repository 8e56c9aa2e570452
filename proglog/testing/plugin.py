"""Fixtures for pytest: ``pytest_plugins = ["proglog.testing.plugin"]`` in a ``conftest.py``.

``proglog_agent``    one agent for each test, with an empty log
``proglog_cluster``  three agents, ``a``, ``b`` and ``c``, for each test
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proglog.testing.agents import agent, cluster
from proglog.testing.cluster import LocalCluster
from proglog.testing.processes import AgentProcess


@pytest.fixture
def proglog_agent(tmp_path: Path) -> Iterator[AgentProcess]:
    """An agent with an empty log; ``rpc_addr`` is its address."""
    with agent(tmp_path / "proglog-agent") as started:
        yield started


@pytest.fixture
def proglog_cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """Three agents with empty logs: ``proglog_cluster["a"].rpc_addr``."""
    with cluster(tmp_path / "proglog-cluster") as started:
        yield started
