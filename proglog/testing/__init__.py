"""Test kit for programs that use proglog: real agents, a cluster, a faulty disk, a faulty network.

::

    with LocalCluster(tmp_path) as cluster:
        async with connect(cluster["a"].rpc_addr) as client:
            ...

Everything public is exported here; docs/guides/testing.md shows each at work.
"""

from proglog.testing.agents import agent, cluster
from proglog.testing.cluster import LocalCluster
from proglog.testing.files import FaultyFiles, SimulatedCrashError
from proglog.testing.network import VirtualNetwork, VirtualNode
from proglog.testing.processes import AgentProcess

__all__ = [
    "AgentProcess",
    "FaultyFiles",
    "LocalCluster",
    "SimulatedCrashError",
    "VirtualNetwork",
    "VirtualNode",
    "agent",
    "cluster",
]
