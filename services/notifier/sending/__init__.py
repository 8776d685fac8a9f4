"""Sending the mails of a batch: order, pace, concurrency and what is in progress."""
