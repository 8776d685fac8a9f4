"""Sends emails over SMTP, and decides what the server's replies mean."""
