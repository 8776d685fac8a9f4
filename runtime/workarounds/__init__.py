"""Workarounds for shortcomings of libraries: the issue of each, and when it can be removed."""
