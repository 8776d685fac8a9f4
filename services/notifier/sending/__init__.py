"""Sends the mails of a batch: chooses their order, rate and concurrency, and tracks mails in progress."""
