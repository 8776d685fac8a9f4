"""The dashboard: server-rendered pages under /admin, their templates and static files."""
