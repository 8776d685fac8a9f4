"""`python -m deploy.cli.doctor`: check an installation against the production checklist. Read-only."""
