"""Which replicas a partition gets, and which settings of a topic fall short."""

from collections import Counter

import pytest

from deploy.cli.topic_provisioning import plan_replicas
from deploy.cli.topic_settings import is_insufficient, min_insync


def test_missing_replicas_go_to_brokers_with_fewest_replicas() -> None:
    layout = {("leads", number): [1] for number in range(6)}
    made = plan_replicas(layout, [1, 2, 3, 4], 3)
    assert all(replicas[0] == 1 and len(set(replicas)) == 3 for replicas in made.values())
    assert Counter(broker for replicas in made.values() for broker in replicas) == {1: 6, 2: 4, 3: 4, 4: 4}


def test_a_partition_that_has_enough_keeps_its_replicas() -> None:
    assert plan_replicas({("leads", 0): [3, 2, 1], ("leads", 1): [1, 2]}, [1, 2, 3], 3) == {
        ("leads", 1): [1, 2, 3]
    }
    assert plan_replicas({("leads", 0): [3, 2, 1]}, [1, 2, 3], 1) == {}


@pytest.mark.parametrize(("replicas", "minimum"), [(1, 1), (2, 1), (3, 2), (5, 2)])
def test_one_broker_of_three_may_be_unavailable(replicas: int, minimum: int) -> None:
    assert min_insync(replicas) == minimum


@pytest.mark.parametrize(
    ("name", "value", "falls"),
    [
        ("retention.ms", "1000", True),
        ("retention.ms", "3000", False),
        ("retention.ms", "-1", False),
        ("cleanup.policy", "compact", True),
    ],
)
def test_a_setting_that_keeps_longer_does_not_fall_short(name: str, value: str, *, falls: bool) -> None:
    assert is_insufficient(name, value, "2000" if name == "retention.ms" else "delete") is falls
