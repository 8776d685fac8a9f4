"""Generators of documents, charts and types, with checks that they are up to date."""
