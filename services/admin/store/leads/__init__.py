"""Leads: list, page, changes, search, and the counts of the overview."""
