"""Recovers the outcomes of mails that the database has lost."""
