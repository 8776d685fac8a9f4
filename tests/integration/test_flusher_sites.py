"""The flusher fetching what websites queued: real HTTP and a real database; the gateway answers as told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from starlette.responses import JSONResponse

from contracts import topics
from contracts.leads import lead_id_for
from runtime.database.postgres import open_pool
from runtime.settings import Kafka, Postgres
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.site_queues.clients import open_site_queues
from services.flusher.site_queues.site_queue_import import JOB, SiteQueueImport
from tests.support.factories import records_of
from tests.support.flusher import Clock, retry_scheduler_of, tick
from tests.support.wait import eventually
from tests.support.websites import World, queued, refusal, world

LEAD = lead_id_for("shop", "key-1")


@dataclass
class Flusher:
    """The pull and the replay queue's job, under one clock, before one website."""

    pull: SiteQueueImport
    jobs: Any
    clock: Clock
    web: World

    async def tick(self, **later: float) -> bool:
        self.clock.turn(**(later or {"minutes": 5}))
        return await self.pull.job.tick()


@pytest.fixture
async def web() -> AsyncIterator[World]:
    async with world() as made:
        yield made


@pytest.fixture
async def flusher(kafka: Kafka, postgres: Postgres, web: World) -> AsyncIterator[Flusher]:
    clock = Clock()
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(postgres, "test"))
        sites = await stack.enter_async_context(open_site_queues(web.url, [web.site]))
        jobs = await stack.enter_async_context(
            retry_scheduler_of(kafka, postgres, clock, deliver=sites.deliver)
        )

        async def connected() -> bool:  # a poll before that sends nothing
            return jobs._publisher.connected

        await eventually(connected, what="the producer")
        pull = SiteQueueImport(pool, JobRuns(pool, clock), sites, "*/5 * * * *", clock)
        yield Flusher(pull, jobs, clock, web)


async def job(db: Any) -> Any:
    return await db.fetchrow("SELECT * FROM scheduled_job WHERE name = $1", JOB)


async def entries(db: Any) -> list[Any]:
    return [tuple(row) for row in await db.fetch("SELECT event, actor, lead_id FROM audit_log ORDER BY id")]


async def row(db: Any) -> Any:
    return await db.fetchrow("SELECT * FROM replay_queue")


async def test_website_entry_is_posted_under_its_key_and_then_removed(flusher: Flusher, db: Any) -> None:
    flusher.web.entries, flusher.web.page = [queued(n) for n in range(1, 24)], 10
    assert await flusher.tick()
    assert sorted(flusher.web.keys) == sorted(f"key-{n}" for n in range(1, 24))
    assert dict(flusher.web.taken)["key-3"] == queued(3)["body"]
    assert flusher.web.entries == []
    run = await job(db)
    seen = run["last_details"]["sites"]["shop"]
    assert run["last_outcome"] == "succeeded"
    assert (seen["pulled"], seen["refused"], seen["depth"], seen["reason"]) == (23, 0, 0, None)
    told = await db.fetchrow("SELECT event, details_json FROM audit_log")
    assert told["event"] == "site_queue.pulled"
    assert told["details_json"] == {"site": "shop", "pulled": 23, "refused": 0}


async def test_sites_use_own_tokens_and_unavailable_site_blocks_no_other(flusher: Flusher, db: Any) -> None:
    async with world() as blog:
        flusher.pull._sites.sites = [
            replace(flusher.web.site, name="away", queue_url="http://127.0.0.1:9/queue"),
            flusher.web.site,
            replace(blog.site, name="blog", ingest_token="blog-token"),
        ]
        flusher.web.entries, blog.entries = [queued(1)], [queued(1)]
        assert not await flusher.tick()
        assert blog.entries == flusher.web.entries == []
    assert (flusher.web.keys, flusher.web.sites) == (["key-1", "key-1"], ["shop", "blog"])
    seen = (await job(db))["last_details"]["sites"]
    assert {name: (each["pulled"], each["reason"]) for name, each in seen.items()} == {
        "away": (0, "site: no answer (ConnectError)"),
        "shop": (1, None),
        "blog": (1, None),
    }


@pytest.mark.parametrize("slash", [True, False])
@pytest.mark.parametrize("given", ["", "/"])
async def test_regression_a_site_that_redirects_for_a_last_slash_loses_no_lead(
    flusher: Flusher, slash: bool, given: str
) -> None:
    flusher.web.entries, flusher.web.slash = [queued(1), queued(2)], slash
    site = flusher.web.site
    flusher.pull._sites.sites = [replace(site, queue_url=site.queue_url + given)]
    assert await flusher.tick()
    assert sorted(flusher.web.keys) == ["key-1", "key-2"]
    assert flusher.web.entries == []


async def test_regression_a_redirect_to_another_place_gets_no_token(flusher: Flusher, db: Any) -> None:
    async with world() as other:
        flusher.web.moved_to = f"{other.url}/api/contact/queue"
        assert not await flusher.tick()
        assert other.asked == 0
    assert (await job(db))["last_details"]["sites"]["shop"]["reason"] == "site queue answered 308"


async def test_site_queue_write_error_is_reported_and_entries_are_imported(flusher: Flusher, db: Any) -> None:
    flusher.web.entries, flusher.web.write_error = [queued(1)], "ENOSPC"
    assert not await flusher.tick()
    assert flusher.web.keys == ["key-1"]
    run = await job(db)
    assert run["last_outcome"] == "failed"
    assert run["last_details"]["sites"]["shop"]["reason"] == "the site cannot write to its queue (ENOSPC)"
    flusher.web.write_error = None
    assert await flusher.tick()


async def test_an_empty_queue_is_a_run_without_an_audit_entry(flusher: Flusher, db: Any) -> None:
    assert await flusher.tick()
    assert (await job(db))["last_outcome"] == "succeeded"
    assert await entries(db) == []


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_a_gateway_that_is_away_or_busy_burns_nothing_and_the_lead_stays(
    flusher: Flusher, db: Any, status: int
) -> None:
    flusher.web.entries, flusher.web.gateway_status = [queued(1)], status
    assert not await flusher.tick()
    assert len(flusher.web.entries) == 1
    assert await row(db) is None
    run = await job(db)
    assert run["last_outcome"] == "failed"
    assert run["last_details"]["sites"]["shop"]["reason"] == f"gateway answered {status}"
    assert run["last_details"]["sites"]["shop"]["depth"] == 1
    flusher.web.gateway_status = 201
    assert await flusher.tick()
    assert flusher.web.keys == ["key-1"]


async def test_failed_removal_is_repeated_by_next_run_under_same_key(flusher: Flusher) -> None:
    flusher.web.entries, flusher.web.removals = [queued(1)], 500
    assert not await flusher.tick()
    flusher.web.removals = 204
    assert await flusher.tick()
    assert flusher.web.keys == ["key-1", "key-1"]  # the gateway knows it by its key
    assert flusher.web.entries == []


async def test_refused_site_lead_moves_to_queue_and_dies_after_third_retry(
    flusher: Flusher, kafka: Kafka, db: Any
) -> None:
    flusher.web.entries = [queued(1), queued(2)]
    flusher.web.refuse["key-1"] = refusal("email", "name")
    assert await flusher.tick()
    assert flusher.web.keys == ["key-2"]
    assert flusher.web.entries == []
    made = await row(db)
    assert (made["stage"], made["kind"], made["made_by"]) == ("site", "pull", "site_pull")
    assert (made["state"], made["lead_id"], made["reason"]) == ("waiting", LEAD, "gateway 422: email, name")
    assert made["record_key"] == b"key-1"
    for attempt, wait in enumerate((5, 20, 80), start=1):
        flusher.clock.turn(minutes=wait)
        await tick(flusher.jobs)
        made = await row(db)
        assert (made["attempts"], made["state"]) == (attempt, "waiting" if attempt < 3 else "dead")
    assert [event for event, _, _ in await entries(db)].count("lead.replayed") == 3
    assert ("lead.dead", "flusher", LEAD) in await entries(db)
    (letter,) = await records_of(kafka, topics.DEAD.name)
    assert letter.value == made["payload"]


async def test_an_outage_between_the_retries_of_a_refused_lead_burns_none(flusher: Flusher, db: Any) -> None:
    flusher.web.entries = [queued(1)]
    flusher.web.refuse["key-1"] = refusal("email")
    await flusher.tick()
    flusher.web.refuse, flusher.web.gateway_status = {}, 503
    flusher.clock.turn(minutes=5)
    assert not await flusher.jobs.job.tick()
    made = await row(db)
    assert (made["state"], made["attempts"]) == ("waiting", 0)
    flusher.web.gateway_status = 201
    await tick(flusher.jobs)
    made = await row(db)
    assert (made["state"], made["payload"]) == ("resolved", None)
    assert flusher.web.keys == ["key-1"]


async def test_replay_of_dead_site_lead_posts_to_gateway_again(flusher: Flusher, db: Any) -> None:
    flusher.web.entries = [queued(1)]
    flusher.web.refuse["key-1"] = refusal("email")
    await flusher.tick()
    await db.execute(
        "UPDATE replay_queue SET state = 'waiting', attempts = 0, requested_at = now(),"
        " requested_by = 'alice'"
    )
    flusher.web.refuse = {}
    await flusher.jobs.poll()
    assert (await row(db))["state"] == "resolved"
    assert ("lead.replayed", "alice", LEAD) in await entries(db)


async def test_an_entry_that_nobody_can_read_stays_and_leaves_the_others_alone(
    flusher: Flusher, db: Any
) -> None:
    flusher.web.entries = [queued(1, id="../admin"), queued(2, idempotencyKey="a\nb"), queued(3)]
    assert await flusher.tick()
    assert flusher.web.keys == ["key-3"]
    assert (await job(db))["last_details"]["sites"]["shop"]["unreadable"] == 2


async def test_regression_malformed_traceparent_is_dropped_not_blocking(
    flusher: Flusher,
) -> None:
    flusher.web.entries = [
        queued(1, traceparent="é"), queued(2, traceparent="a\nb"), queued(3, traceparent=7), queued(4),
    ]  # fmt: skip
    assert await flusher.tick()
    assert sorted(flusher.web.keys) == ["key-1", "key-2", "key-3", "key-4"]


async def test_regression_an_entry_that_is_nested_too_deep_holds_up_no_other(
    flusher: Flusher, db: Any
) -> None:
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    flusher.web.entries = [queued(1, body={"extra": deep}), queued(2)]
    assert await flusher.tick()
    assert flusher.web.keys == ["key-2"]
    assert (await job(db))["last_details"]["sites"]["shop"]["unreadable"] == 1


async def test_what_a_websites_disk_has_damaged_is_told(flusher: Flusher, db: Any) -> None:
    flusher.web.damaged = 2
    assert await flusher.tick()
    assert (await job(db))["last_details"]["sites"]["shop"]["damaged"] == 2


async def test_regression_lead_with_gateway_error_does_not_block_others(flusher: Flusher, db: Any) -> None:
    flusher.web.entries, flusher.web.page = [queued(n) for n in range(1, 24)], 10
    flusher.web.refuse["key-1"] = JSONResponse({}, 500)
    assert not await flusher.tick()
    assert sorted(flusher.web.keys) == sorted(f"key-{n}" for n in range(2, 24))
    assert [each["id"] for each in flusher.web.entries] == ["e1"]
    seen = (await job(db))["last_details"]["sites"]["shop"]
    assert (seen["pulled"], seen["reason"]) == (22, "gateway answered 500")


async def test_regression_unreadable_queue_page_is_reported_as_blocking(flusher: Flusher, db: Any) -> None:
    flusher.web.entries, flusher.web.page = [queued(1, id="../a"), queued(2, id="../b"), queued(3)], 2
    assert not await flusher.tick()
    reason = (await job(db))["last_details"]["sites"]["shop"]["reason"]
    assert reason == "entries that cannot be read hold up those behind them"


async def test_regression_a_refused_lead_that_was_erased_is_not_kept_again(flusher: Flusher, db: Any) -> None:
    await db.execute(
        "INSERT INTO lead_inbox (id, request_id, site, email, service, name, message, body_sha256, status,"
        " created_at_utc) VALUES ($1, 'r', 'shop', '', '', '', '', '', 'erased', now())",
        LEAD,
    )
    flusher.web.entries = [queued(1)]
    flusher.web.refuse["key-1"] = refusal("email")
    assert await flusher.tick()
    assert flusher.web.entries == []
    assert await row(db) is None
    assert ("lead.parked", "site", LEAD) in await entries(db)


async def test_an_admins_flush_runs_the_job_although_its_tick_was_run(flusher: Flusher, db: Any) -> None:
    await flusher.tick()
    flusher.web.entries = [queued(1)]
    flusher.clock.turn(seconds=1)
    await flusher.pull.job.tick()
    assert flusher.web.keys == []
    await db.execute("UPDATE scheduled_job SET requested_at = now() WHERE name = $1", JOB)
    await flusher.pull.job.tick()
    assert flusher.web.keys == ["key-1"]
    assert (await job(db))["requested_at"] is None


async def test_a_website_that_answers_something_else_is_away_not_empty(flusher: Flusher, db: Any) -> None:
    flusher.web.entries = [queued(1, queuedAt="2026-01-01T00:00:00Z")]
    flusher.web.entries[0]["queuedAt"] = "never"
    assert await flusher.tick() is False
    assert (await job(db))["last_details"]["sites"]["shop"][
        "reason"
    ] == "site queue's answer is not understood"


async def test_regression_second_body_of_refused_key_is_kept_too(flusher: Flusher, db: Any) -> None:
    flusher.web.refuse["key-1"] = refusal("email")
    for attempt, name in enumerate(("Ada", "Ada", "Grace")):
        body = {**queued(1)["body"], "name": name}
        flusher.web.entries = [queued(1, id=f"e{attempt}", body=body)]
        assert await flusher.tick()
    kept = await db.fetch("SELECT lead_id, payload FROM replay_queue ORDER BY first_failed_at")
    assert [row["lead_id"] for row in kept] == [LEAD, LEAD]
    assert [b"Ada" in kept[0]["payload"], b"Grace" in kept[1]["payload"]] == [True, True]


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
    flusher: Flusher, db: Any, answer: bytes
) -> None:
    async with world() as blog:
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
    flusher: Flusher, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = flusher.pull._take

    async def broken(site: Any, *rest: Any) -> None:
        if site.name == "shop":
            raise ZeroDivisionError
        await take(site, *rest)

    monkeypatch.setattr(flusher.pull, "_take", broken)
    flusher.web.entries = [queued(1)]
    flusher.pull._sites.sites = [flusher.web.site, replace(flusher.web.site, name="blog")]
    assert not await flusher.tick()
    seen = (await job(db))["last_details"]["sites"]
    assert {name: each["reason"] for name, each in seen.items()} == {
        "shop": "bug: ZeroDivisionError", "blog": None,
    }  # fmt: skip


async def test_regression_entry_with_invalid_time_is_posted_or_kept(flusher: Flusher, db: Any) -> None:
    flusher.web.entries = [
        queued(1, queuedAt="0001-01-01T00:00:00+14:00"), queued(2, queuedAt="0001-01-01T00:00:00+14:00"),
    ]  # fmt: skip
    flusher.web.refuse["key-2"] = refusal("email")
    assert await flusher.tick()
    assert (flusher.web.keys, flusher.web.entries) == (["key-1"], [])
    assert (await row(db))["origin_timestamp"].year == 2000


async def test_regression_a_slow_website_does_not_delay_the_others(
    flusher: Flusher, db: Any, monkeypatch: pytest.MonkeyPatch
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
    flusher: Flusher, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flusher.web.entries = [queued(n) for n in range(1, 24)]
    monkeypatch.setattr("services.flusher.site_queues.site_queue_import.RUN_SECONDS", -1.0)
    assert not await flusher.tick()
    seen = (await job(db))["last_details"]["sites"]["shop"]
    assert (seen["pulled"], seen["reason"]) == (0, "slow: the rest is fetched by the next run")
    monkeypatch.setattr("services.flusher.site_queues.site_queue_import.RUN_SECONDS", 60.0)
    assert await flusher.tick()
    assert len(flusher.web.keys) == 23
