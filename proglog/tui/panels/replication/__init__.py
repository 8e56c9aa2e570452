"""Replication between the agent and its peers: by peer, by origin, as a matrix."""
