"""Bulk changes (one action on many leads): starting them, and changing the leads."""
