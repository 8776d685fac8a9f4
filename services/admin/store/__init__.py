"""Repositories: the SQL of each resource, and the functions that run it."""
