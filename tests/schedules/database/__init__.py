"""A database in memory that answers the product's named queries, with transactions, row locks and faults."""
