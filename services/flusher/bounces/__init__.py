"""Emails that came back or were reported as spam: reads reports from a mailbox, and applies mail events."""
