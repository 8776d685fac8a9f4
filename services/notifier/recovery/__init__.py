"""Recovers mail outcomes that the database has lost, from Kafka's records."""
