"""The sites file: its model, its reader, and the watcher that applies a new version while a service runs."""
