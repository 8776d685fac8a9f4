"""The gateway: validates a lead and publishes it. No database."""
