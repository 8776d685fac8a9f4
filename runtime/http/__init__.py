"""Serving HTTP: the server, its limits, and what every service's requests and responses have in common."""
