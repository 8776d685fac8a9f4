"""Shows everything and lets people act. Publishes nothing."""
