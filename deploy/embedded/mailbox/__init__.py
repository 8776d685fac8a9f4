"""A mail server for development: it stores every email on disk, and shows it in a browser and as JSON."""
