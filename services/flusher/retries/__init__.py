"""Retries of failed records: when, in which order, and to which topic."""
