"""The mail sink: takes every mail over SMTP, keeps it on disk, and shows it in a browser and as JSON."""
