"""Access to PostgreSQL: pool, connections, the ledger of records, and the breaker's state."""
