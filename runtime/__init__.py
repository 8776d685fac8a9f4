"""How a process starts, is monitored and stops, and the infrastructure that several services share."""

from typing import Final

VERSION: Final = "0.1.0"
"""The version of the product, as in pyproject.toml."""
