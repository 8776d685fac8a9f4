"""Chooses the faults of each round. Pure: the same seed gives the same plan."""

import random
from collections.abc import Collection

# At most four minutes on two cores: the faults that found the most errors so far.
QUICK = (
    ("kill persister mid-batch", "poison", "smtp drop after the dot", "kill webhooks mid-request"),
    (
        "gateway and kafka",
        "smtp 451",
        "receiver resets after the body",
        "notifier dies before: digest outcome stored",
    ),
    ("kill postgres", "kill notifier mid-mail", "reset kafka", "receiver 500"),
    ("torn record", "lost commits", "restart persister", "smtp 535", "receiver's name moves"),
)


def plan_faults(seed: int, rounds: int, faults: Collection[str]) -> list[tuple[str, ...]]:
    """Return one or two faults for each round, so that every fault comes once before one is repeated."""
    rng, remaining, planned = random.Random(seed), list[str](), list[tuple[str, ...]]()
    for _ in range(rounds):
        chosen = list[str]()
        for _ in range(rng.choice((1, 2, 2))):
            if not remaining:
                remaining = rng.sample(sorted(faults), len(faults))
            if remaining[-1] not in chosen:
                chosen.append(remaining.pop())
        planned.append(tuple(chosen))
    return planned
