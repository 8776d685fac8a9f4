"""The servers that the embedded stack includes: Kafka, PostgreSQL and the edge."""
