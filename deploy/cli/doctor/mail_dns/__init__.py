"""Reads and judges what DNS says about a sender's domain: SPF, DKIM and DMARC. No results of the doctor."""
