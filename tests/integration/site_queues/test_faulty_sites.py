"""Faulty entries and websites do not block the import of others."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from starlette.responses import JSONResponse

from tests.support.services.site_queues import SiteQueueFlusher, entries, job, row
from tests.support.wait import eventually
from tests.support.web.websites import fake_sites, queued, refusal


async def test_an_entry_that_nobody_can_read_stays_and_leaves_the_others_alone(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    flusher.web.entries = [queued(1, id="../admin"), queued(2, idempotencyKey="a\nb"), queued(3)]
    assert await flusher.tick()
    assert flusher.web.keys == ["key-3"]
    assert (await job(db))["last_details"]["sites"]["shop"]["unreadable"] == 2


async def test_regression_malformed_traceparent_is_dropped_not_blocking(
    flusher: SiteQueueFlusher,
) -> None:
    flusher.web.entries = [
        queued(1, traceparent="é"), queued(2, traceparent="a\nb"), queued(3, traceparent=7), queued(4),
    ]  # fmt: skip
    assert await flusher.tick()
    assert sorted(flusher.web.keys) == ["key-1", "key-2", "key-3", "key-4"]


async def test_regression_an_entry_that_is_nested_too_deep_holds_up_no_other(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    flusher.web.entries = [queued(1, body={"extra": deep}), queued(2)]
    assert await flusher.tick()
    assert flusher.web.keys == ["key-2"]
    assert (await job(db))["last_details"]["sites"]["shop"]["unreadable"] == 1


async def test_damaged_entries_of_a_websites_queue_are_reported(flusher: SiteQueueFlusher, db: Any) -> None:
    flusher.web.damaged = 2
    assert await flusher.tick()
    assert (await job(db))["last_details"]["sites"]["shop"]["damaged"] == 2


async def test_regression_lead_with_gateway_error_does_not_block_others(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    flusher.web.entries, flusher.web.page = [queued(n) for n in range(1, 24)], 10
    flusher.web.refuse["key-1"] = JSONResponse({}, 500)
    assert not await flusher.tick()
    assert sorted(flusher.web.keys) == sorted(f"key-{n}" for n in range(2, 24))
    assert [each["id"] for each in flusher.web.entries] == ["e1"]
    seen = (await job(db))["last_details"]["sites"]["shop"]
    assert (seen["pulled"], seen["reason"]) == (22, "gateway answered 500")


async def test_regression_unreadable_queue_page_is_reported_as_blocking(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    flusher.web.entries, flusher.web.page = [queued(1, id="../a"), queued(2, id="../b"), queued(3)], 2
    assert not await flusher.tick()
    reason = (await job(db))["last_details"]["sites"]["shop"]["reason"]
    assert reason == "entries that cannot be read hold up those behind them"


async def test_a_website_that_answers_something_else_is_unavailable(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    flusher.web.entries = [queued(1, queuedAt="2026-01-01T00:00:00Z")]
    flusher.web.entries[0]["queuedAt"] = "never"
    assert await flusher.tick() is False
    assert (await job(db))["last_details"]["sites"]["shop"][
        "reason"
    ] == "site queue's response cannot be read"


@pytest.mark.parametrize(
    "answer",
    [
        b'{"entries": [], "depth": 1, "oldestQueuedAt": "0001-01-01T00:00:00+14:00"}',
        b'{"entries": [], "depth": 1, "oldestQueuedAt": "9999-12-31T23:59:59-14:00"}',
        b'{"entries": [], "depth": %s}' % (b"9" * 4000),
        b'{"entries": [], "depth": NaN}',
        b'{"entries": {"a": 1}, "depth": 1}',
        b"[" * 100_000,
        b"\xff\x00",
        b"null",
    ],
)
async def test_regression_any_site_answer_leaves_other_sites_reports(
    flusher: SiteQueueFlusher, db: Any, answer: bytes
) -> None:
    async with fake_sites() as blog:
        flusher.pull._sites.sites = [
            flusher.web.site,
            replace(blog.site, name="blog", ingest_token="blog-token"),
        ]
        flusher.web.answer, blog.entries = answer, [queued(1)]
        await flusher.tick()
    seen = (await job(db))["last_details"]["sites"]
    assert (seen["blog"]["pulled"], seen["blog"]["reason"]) == (1, None)
    assert seen["shop"]["depth"] in (None, 1)
    assert ("site_queue.pulled", "flusher", None) in await entries(db)


async def test_regression_a_bug_in_one_websites_pull_costs_no_other_its_report(
    flusher: SiteQueueFlusher, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_entries = flusher.pull._import_entries

    async def broken(site: Any, *rest: Any) -> None:
        if site.name == "shop":
            raise ZeroDivisionError
        await import_entries(site, *rest)

    monkeypatch.setattr(flusher.pull, "_import_entries", broken)
    flusher.web.entries = [queued(1)]
    flusher.pull._sites.sites = [flusher.web.site, replace(flusher.web.site, name="blog")]
    assert not await flusher.tick()
    seen = (await job(db))["last_details"]["sites"]
    assert {name: each["reason"] for name, each in seen.items()} == {
        "shop": "bug: ZeroDivisionError", "blog": None,
    }  # fmt: skip


async def test_regression_entry_with_invalid_time_is_posted_or_stored(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    flusher.web.entries = [
        queued(1, queuedAt="0001-01-01T00:00:00+14:00"), queued(2, queuedAt="0001-01-01T00:00:00+14:00"),
    ]  # fmt: skip
    flusher.web.refuse["key-2"] = refusal("email")
    assert await flusher.tick()
    assert (flusher.web.keys, flusher.web.entries) == (["key-1"], [])
    assert (await row(db))["origin_timestamp"].year == 2000


async def test_regression_a_slow_website_does_not_delay_the_others(
    flusher: SiteQueueFlusher, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing, released = flusher.pull._sites.list_queue, asyncio.Event()

    async def slow(site: Any) -> Any:
        if site.name == "slow":
            await released.wait()
        return await listing(site)

    monkeypatch.setattr(flusher.pull._sites, "list_queue", slow)
    flusher.web.entries = [queued(1)]
    flusher.pull._sites.sites = [replace(flusher.web.site, name="slow"), flusher.web.site]
    ticking = asyncio.create_task(flusher.tick())
    await eventually(lambda: asyncio.sleep(0, flusher.web.keys), what="the other website's lead")
    assert not ticking.done()
    released.set()
    assert await ticking


async def test_regression_a_long_queue_is_fetched_in_runs_that_end(
    flusher: SiteQueueFlusher, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flusher.web.entries = [queued(n) for n in range(1, 24)]
    monkeypatch.setattr("services.flusher.site_queues.site_queue_import.RUN_SECONDS", -1.0)
    assert not await flusher.tick()
    seen = (await job(db))["last_details"]["sites"]["shop"]
    assert (seen["pulled"], seen["reason"]) == (0, "slow: the rest is fetched by the next run")
    monkeypatch.setattr("services.flusher.site_queues.site_queue_import.RUN_SECONDS", 60.0)
    assert await flusher.tick()
    assert len(flusher.web.keys) == 23
