"""Programs that run inside the container image."""
