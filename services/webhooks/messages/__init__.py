"""The messages that chats show about an event."""
