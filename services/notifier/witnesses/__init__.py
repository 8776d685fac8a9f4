"""Emails the checkpoints of the sealed audit log to witnesses (docs/audit.md)."""
