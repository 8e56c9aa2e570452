"""Choosing which origin to fetch from which peer: the pure planner behind the replicator."""
