"""What this repository's tests and benchmarks share and no program needs: not part of the wheel.

A simulated cluster, agents in network namespaces, load and the checker of what it was told, a terminal, a real serf
agent. What programs may use is :mod:`proglog.testing`.
"""
