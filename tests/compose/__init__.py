"""The composed stack: the story of `make test-compose`, and each container killed under load."""
