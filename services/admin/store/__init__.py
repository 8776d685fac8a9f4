"""The repositories: each module reads or changes one kind of data, with the SQL file beside it."""
