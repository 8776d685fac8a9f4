"""The gateway: validates a lead and publishes it. It uses no database."""
