"""PostgreSQL: the pool, transactions, the ledger, the circuit breaker, and SQL that services share."""
