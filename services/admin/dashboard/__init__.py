"""The dashboard for the browser: pages, templates and static files."""
