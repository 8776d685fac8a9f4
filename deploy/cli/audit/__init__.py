"""`python -m deploy.cli.audit`: the audit log in partitions, and their archive (docs/audit-log.md)."""
