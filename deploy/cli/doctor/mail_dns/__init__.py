"""Reads and evaluates the SPF, DKIM and DMARC records of a sender's domain. The doctor's checks use it."""
