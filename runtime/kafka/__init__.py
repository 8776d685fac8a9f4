"""Reading from and publishing to Kafka."""
