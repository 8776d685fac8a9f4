"""Stubs of the services in docs/recipes.md: each refuses what the real service documents that it refuses.

A contract was written down from the service's documentation or source code, which its docstring names. It is
not the service: a test that passes here shows that a recipe fits the documentation.
"""
