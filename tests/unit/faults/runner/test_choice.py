"""The runner covers every fault before it repeats one, and all families in turn."""

import random
from collections import Counter
from dataclasses import replace

from tests.faults.runner.choice import Counts, choose_family, choose_faults
from tests.unit.faults.runner.toy_family import FAMILY

FAMILIES = {
    "large": replace(FAMILY, name="large", faults=dict.fromkeys("abcdefg", ""), most_faults=2),
    "small": replace(FAMILY, name="small", faults=dict.fromkeys("xy", "")),
}
AVAILABLE = {name: list(family.faults) for name, family in FAMILIES.items()}


def run(rounds: int, seed: int = 1) -> list[tuple[str, tuple[str, ...]]]:
    """Choose so many rounds, which take a minute each."""
    counts: Counts = Counter()
    spent: Counter[str] = Counter()
    chosen = list[tuple[str, tuple[str, ...]]]()
    for number in range(rounds):
        family = choose_family(FAMILIES, AVAILABLE, counts, spent)
        faults = choose_faults(family, AVAILABLE[family.name], counts, random.Random(f"{seed}/{number}"))
        counts.update((family.name, fault) for fault in faults)
        spent[family.name] += 60
        chosen.append((family.name, faults))
    return chosen


def test_every_fault_comes_before_one_comes_twice_more() -> None:
    for rounds in range(1, 40):
        counts = Counter(fault for _, faults in run(rounds) for fault in faults)
        often = [counts[fault] for faults in AVAILABLE.values() for fault in faults]
        assert max(often) - min(often) <= 2


def test_the_least_tried_fault_of_all_comes_first() -> None:
    counts: Counts = Counter({("large", "a"): 5, ("small", "x"): 1, ("small", "y"): 1})
    assert choose_family(FAMILIES, AVAILABLE, counts, Counter(large=600)).name == "large"


def test_families_take_turns_from_the_start() -> None:
    assert {name for name, _ in run(2)} == set(FAMILIES)


def test_a_running_installation_is_used_while_its_faults_had_few_rounds() -> None:
    spent = Counter(large=600)
    counts: Counts = Counter()
    large = FAMILIES["large"]
    assert choose_family(FAMILIES, AVAILABLE, counts, spent, large) is large
    counts.update(("large", fault) for fault in AVAILABLE["large"])
    assert choose_family(FAMILIES, AVAILABLE, counts, spent, large) is FAMILIES["small"]


def test_the_same_seed_chooses_the_same_rounds() -> None:
    assert run(20) == run(20) != run(20, seed=2)


def test_a_fault_comes_once_in_a_round() -> None:
    assert all(len(set(faults)) == len(faults) <= 2 for _, faults in run(40))


def test_a_family_whose_faults_are_all_missing_is_not_chosen() -> None:
    spent: Counter[str] = Counter()
    counts: Counts = Counter()
    available = {**AVAILABLE, "small": []}
    assert choose_family(FAMILIES, available, counts, spent).name == "large"
