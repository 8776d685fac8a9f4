"""Importing the leads that websites have queued on their own disk."""
