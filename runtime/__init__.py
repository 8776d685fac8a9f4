"""How a process starts, is watched and stops. Knows nothing about leads."""

from typing import Final

VERSION: Final = "0.1.0"
"""The product's, as in pyproject.toml."""
