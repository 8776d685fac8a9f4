"""The gateway's disk buffer for leads while Kafka is unavailable."""
