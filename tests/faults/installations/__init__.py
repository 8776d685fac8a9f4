"""Installations of other kinds than the one of `tests.faults.environment`, for the families of faults."""
