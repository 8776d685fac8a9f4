"""Kafka: the consumer, the publisher, and the comparison of the ledger with Kafka."""
