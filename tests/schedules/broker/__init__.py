"""A Kafka cluster in memory that speaks Kafka's protocol to aiokafka: logs, groups, leaders and faults."""
