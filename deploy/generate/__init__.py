"""Generates documents, the rendered chart and types, and checks that they are up to date."""
