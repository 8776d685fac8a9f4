"""Sends the team emails that list held leads, and decides when such an email is due."""
