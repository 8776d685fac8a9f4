"""Decisions about leads, replays and exports, without I/O and without a clock."""
