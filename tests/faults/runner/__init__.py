"""Runs rounds of all families within a budget, and records each one."""
