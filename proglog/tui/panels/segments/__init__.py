"""The segments of the agent's log: their table, the batches of one, and verifying it."""
