"""Which services one process runs."""
