"""The process: configuration, the log writer, membership, replicator, and the agent that wires them."""
