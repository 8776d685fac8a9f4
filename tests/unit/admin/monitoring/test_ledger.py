"""The ledger balances for a healthy snapshot, and names each lost or duplicated row."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.admin.monitoring.ledger import LedgerCounts, TopicCounts, compare
from services.admin.schemas.ledger import Books

few = st.integers(min_value=0, max_value=50)


def topic_counts(stage: str, topic: str, **outcomes: int) -> TopicCounts:
    counted = dict.fromkeys(("stored", "duplicate", "parked", "undecodable", "missing"), 0) | outcomes
    return TopicCounts(stage=stage, topic=topic, offsets=sum(counted.values()), **counted)


def unbalanced(books: Books) -> list[tuple[str, str, int]]:
    return [(each.stage, each.name, each.difference) for each in books.identities if not each.balanced]


HEALTHY = LedgerCounts(
    topics=(
        topic_counts("persister", "p.leads.received.v1", stored=5, duplicate=2, parked=1, undecodable=1),
        topic_counts("persister", "p.leads.retry.persister.v1", stored=1),
        topic_counts("persister", "p.audit.recorded.v1", stored=9),
        topic_counts("notifier", "p.leads.received.v1", stored=6, undecodable=1),
        topic_counts("flusher", "p.leads.failed.v1", stored=3, duplicate=1),
    ),
    leads=6,
    queue={"waiting": 1, "dead": 2, "resolved": 2},
    queue_by_others=2,
    emails={"sent": 10, "waiting": 2},
    deliveries={"delivered": 4, "dead": 1, "suppressed": 1, "waiting": 2},
    deliveries_wanted=8,
    changes_written=7,
    changes_published=5,
    changes_waiting=2,
)


def test_an_empty_installation_balances() -> None:
    assert compare(LedgerCounts(topics=(), leads=0, queue={}, queue_by_others=0, emails={})).balanced


def test_a_healthy_snapshot_balances() -> None:
    books = compare(HEALTHY)
    assert books.balanced, unbalanced(books)
    assert [(stage.stage, stage.records) for stage in books.stages] == [
        ("flusher", 4),
        ("notifier", 7),
        ("persister", 19),
    ]


@pytest.mark.parametrize(
    ("counts", "named"),
    [
        (replace(HEALTHY, leads=5), ("persister", "leads", 1)),
        (replace(HEALTHY, queue={"waiting": 6}), ("flusher", "queue", -1)),
        (replace(HEALTHY, queue_by_others=1), ("flusher", "queue", -1)),
        (replace(HEALTHY, emails={"sent": 11}), ("notifier", "mails", 1)),
        (replace(HEALTHY, deliveries_wanted=9), ("webhooks", "deliveries", 1)),
        (replace(HEALTHY, deliveries={"delivered": 9}), ("webhooks", "deliveries", -1)),
        (replace(HEALTHY, changes_published=4), ("flusher", "changes", 1)),
        (replace(HEALTHY, changes_waiting=3), ("flusher", "changes", -1)),
        (
            replace(HEALTHY, topics=(*HEALTHY.topics, replace(topic_counts("site", "x"), offsets=2))),
            ("site", "records", -2),
        ),
    ],
)
def test_a_difference_has_its_stage_and_size(counts: LedgerCounts, named: tuple[str, str, int]) -> None:
    books = compare(counts)
    assert not books.balanced
    assert unbalanced(books) == [named]


@given(stored=few, retried=few, duplicate=few, lost=st.integers(min_value=-5, max_value=5))
def test_the_difference_equals_the_lost_or_duplicated_rows(
    stored: int, retried: int, duplicate: int, lost: int
) -> None:
    counts = LedgerCounts(
        topics=(
            topic_counts("persister", "leads.received.v1", stored=stored, duplicate=duplicate),
            topic_counts("persister", "leads.retry.persister.v1", stored=retried, duplicate=duplicate),
        ),
        leads=stored + retried - lost,
        queue={},
        queue_by_others=0,
        emails={},
    )
    assert unbalanced(compare(counts)) == ([("persister", "leads", lost)] if lost else [])
