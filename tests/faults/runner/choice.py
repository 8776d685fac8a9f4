"""Which family is next, and which of its faults. Pure: the same record and seed give the same round."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from tests.faults.family import Family

Counts = Counter[tuple[str, str]]  # (family, fault) -> rounds


def choose_family(
    families: Mapping[str, Family],
    available: Mapping[str, Sequence[str]],
    counts: Counts,
    spent: Counter[str],
    current: Family | None = None,
) -> Family:
    """Return the family whose fault had the fewest rounds; of several, the one with the least time.

    Prefers the current family of several, because its installation runs already. `available` has the faults
    of each family that this machine can inject, `spent` the seconds of each. Raises `ValueError` if no family
    has an available fault.
    """
    candidates = [family for family in families.values() if available[family.name]]
    fewest = {
        family.name: min(counts[family.name, fault] for fault in available[family.name])
        for family in candidates
    }
    if current and fewest.get(current.name) == min(fewest.values()):
        return current
    return min(candidates, key=lambda family: (fewest[family.name], spent[family.name]))


def choose_faults(
    family: Family, available: Sequence[str], counts: Counts, rng: random.Random
) -> tuple[str, ...]:
    """Return the faults of the next round: those with the fewest rounds, in an order by chance."""
    most = min(family.most_faults, len(available))
    number = rng.choice([1, *range(2, most + 1), *range(2, most + 1)])
    order = sorted(rng.sample(list(available), len(available)), key=lambda fault: counts[family.name, fault])
    return tuple(order[:number])
