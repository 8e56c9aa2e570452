"""Who fetches what from whom: the pure planner behind the replicator."""
