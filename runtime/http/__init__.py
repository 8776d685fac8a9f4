"""Serving HTTP: the server, its limits, and what the requests and responses of all services share."""
