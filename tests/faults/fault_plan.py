"""Which faults a round gets. Pure: a seed deals the same hands again."""

import random
from collections.abc import Collection

# At most four minutes on two cores: what broke most often while this was built.
QUICK = (
    ("persister in hand", "poison", "smtp drop after the dot"),
    ("gateway and kafka", "smtp 451"),
    ("kill postgres", "notifier in hand", "reset kafka"),
    ("torn record", "lost commits", "restart persister", "smtp 535"),
)


def deal(seed: int, rounds: int, faults: Collection[str]) -> list[tuple[str, ...]]:
    """Deal one or two faults to each round from a shuffled deck, so that none is left out for long."""
    rng, deck, dealt = random.Random(seed), list[str](), list[tuple[str, ...]]()
    for _ in range(rounds):
        hand = list[str]()
        for _ in range(rng.choice((1, 2, 2))):
            if not deck:
                deck = rng.sample(sorted(faults), len(faults))
            if deck[-1] not in hand:
                hand.append(deck.pop())
        dealt.append(tuple(hand))
    return dealt
