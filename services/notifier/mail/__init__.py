"""Composing emails."""
