"""The same work by proglog and by what is used instead: Kafka, Redis and NATS, each with its own clients, in turns."""
