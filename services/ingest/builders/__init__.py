"""The payloads that form builders post to a webhook."""
