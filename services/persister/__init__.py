"""Stores leads and audit entries: the one writer of lead_inbox."""
