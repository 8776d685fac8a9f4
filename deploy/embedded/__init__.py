"""Runs all of FASTCore on a machine that has only Python: real Kafka, real PostgreSQL and a mailbox.

Start with `python -m deploy.embedded --help`. Tests use `deploy.embedded.servers.standalone`.
"""
