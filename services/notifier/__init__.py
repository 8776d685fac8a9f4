"""Sends the welcome and the admin alert: the one writer of email_delivery."""
