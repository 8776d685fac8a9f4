"""The repositories. Each module reads or changes one kind of data with the queries in its SQL file."""
