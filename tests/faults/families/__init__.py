"""The families of faults, one module each."""

import importlib
import pkgutil

from tests.faults.family import Family


def load() -> dict[str, Family]:
    """Return all families by name, in alphabetical order."""
    return {each.name: find(each.name) for each in pkgutil.iter_modules(__path__)}


def find(name: str) -> Family:
    """Return the family of a module of this package, or of another one by its full name."""
    module = importlib.import_module(name if "." in name else f"{__name__}.{name}")
    found: Family = module.FAMILY
    return found
