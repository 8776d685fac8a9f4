"""`python -m deploy.cli.audit`: the audit log's partitions, their archive, and the seal (docs/audit.md)."""
