"""Each service of a process counts for itself, and shows only its own values."""

import asyncio
from collections.abc import Iterator
from contextvars import copy_context

import pytest
from prometheus_client import REGISTRY, CollectorRegistry

from runtime.current_service import set_current_service
from runtime.service_metrics import Counter, Gauge, Histogram, current_registry, separate_services

MAILS = Counter("test_mails_total", "Emails.", ["outcome"])
LAG = Gauge("test_lag_records", "Lag.")
SECONDS = Histogram("test_work_seconds", "Time.", buckets=(1, 2))


@pytest.fixture
def _separated() -> Iterator[None]:
    separate_services(["ingest", "admin"], [MAILS, LAG, SECONDS])
    yield
    separate_services([], [MAILS, LAG, SECONDS])


async def count(service: str, amount: int) -> CollectorRegistry:
    """Count as this service does, and return its registry."""
    set_current_service(service)
    MAILS.labels(outcome="sent").inc(amount)
    LAG.set_function(lambda: amount)
    with SECONDS.time():
        await asyncio.sleep(0)
    SECONDS.observe(amount)
    return current_registry()


@pytest.mark.usefixtures("_separated")
async def test_each_service_shows_only_its_own_values() -> None:
    ingest, admin = await asyncio.gather(
        asyncio.create_task(count("ingest", 1)), asyncio.create_task(count("admin", 5))
    )
    for registry, amount in ((ingest, 1), (admin, 5)):
        assert registry.get_sample_value("test_mails_total", {"outcome": "sent"}) == amount
        assert registry.get_sample_value("test_lag_records") == amount
        assert registry.get_sample_value("test_work_seconds_count") == 2
        assert registry.get_sample_value("test_work_seconds_sum") == pytest.approx(amount, abs=0.9)
    assert REGISTRY.get_sample_value("test_mails_total", {"outcome": "sent"}) is None


@pytest.mark.usefixtures("_separated")
async def test_labels_are_removed_of_the_current_service_only() -> None:
    def change(service: str, *, clear: bool) -> float | None:
        set_current_service(service)
        MAILS.labels(outcome="dead").inc()
        if clear:
            MAILS.clear()
        return current_registry().get_sample_value("test_mails_total", {"outcome": "dead"})

    assert copy_context().run(change, "ingest", clear=True) is None
    assert copy_context().run(change, "admin", clear=False) == 1


@pytest.mark.usefixtures("_separated")
async def test_the_process_itself_is_on_the_first_page_only() -> None:
    ingest = await asyncio.create_task(count("ingest", 1))
    admin = await asyncio.create_task(count("admin", 1))
    assert ingest.get_sample_value("process_resident_memory_bytes")
    assert admin.get_sample_value("process_resident_memory_bytes") is None


async def test_one_service_uses_the_registry_of_the_process() -> None:
    assert await asyncio.create_task(count("ingest", 3)) is REGISTRY
    assert REGISTRY.get_sample_value("test_lag_records") == 3
