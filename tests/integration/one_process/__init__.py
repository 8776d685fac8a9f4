"""All six services in one process, on real Kafka and PostgreSQL."""
