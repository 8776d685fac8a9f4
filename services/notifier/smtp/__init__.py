"""Sending emails over SMTP, and what the server's replies mean."""
