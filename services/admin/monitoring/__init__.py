"""The status of the system: queue counts, consumer lag, health of the services, metrics."""
