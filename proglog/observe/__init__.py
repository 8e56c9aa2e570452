"""The operator's model: what snapshots and events mean, in words, over time. The CLI and the dashboard read it."""
