"""Sending the mails of a batch: their order, rate and concurrency, and which mails are in progress."""
