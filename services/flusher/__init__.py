"""Keeps the replay queue and runs the jobs."""
