"""One repository for each resource of the database, beside its SQL."""
