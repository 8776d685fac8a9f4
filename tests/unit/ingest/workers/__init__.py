"""The workers of a gateway."""
