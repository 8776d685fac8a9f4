"""Leads: list, search, show and change them, and count them for the overview."""
