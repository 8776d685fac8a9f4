"""The state of the installation: queue counts, consumer lag, health of the services, metrics."""
