"""The messages that chat services show about an event."""
