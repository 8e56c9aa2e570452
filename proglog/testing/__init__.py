"""A kit for tests: a virtual network, a faulty disk, clusters, a real serf agent."""
