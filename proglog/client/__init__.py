"""The public Python client: producer, consumer, admin."""
