"""The harness of this repository's tests and benchmarks; not part of the wheel.

A simulated cluster, agents in network namespaces, load and its checker, a terminal, a real serf agent. The public test
kit is :mod:`proglog.testing`.
"""
