"""The service that delivers leads to other systems: webhooks, chats, and any HTTP API."""
