"""The composed stack: the tests of `make test-compose`, and kills of each container under load."""
