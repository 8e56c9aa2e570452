"""What happened in the cluster."""
