"""The whole of FASTCore on one machine that has nothing but Python: real Kafka, real PostgreSQL, a mailbox.

`python -m deploy.embedded --help` is the way in; tests use `deploy.embedded.servers.standalone`.
"""
