"""The servers that the embedded stack brings along: Kafka, PostgreSQL and the edge."""
