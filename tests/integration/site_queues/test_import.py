"""The flusher imports the queues of websites: entries, refusals and retries."""

from dataclasses import replace
from typing import Any

import pytest

from contracts import topics
from runtime.settings import Kafka
from services.flusher.site_queues.site_queue_import import JOB
from tests.support.factories import records_of
from tests.support.services.flusher import tick
from tests.support.services.site_queues import LEAD, SiteQueueFlusher, entries, job, row
from tests.support.web.websites import fake_sites, queued, refusal


async def test_website_entry_is_posted_under_its_key_and_then_removed(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    flusher.web.entries, flusher.web.page = [queued(n) for n in range(1, 24)], 10
    assert await flusher.tick()
    assert sorted(flusher.web.keys) == sorted(f"key-{n}" for n in range(1, 24))
    assert dict(flusher.web.taken)["key-3"] == queued(3)["body"]
    assert flusher.web.entries == []
    run = await job(db)
    seen = run["last_details"]["sites"]["shop"]
    assert run["last_outcome"] == "succeeded"
    assert (seen["pulled"], seen["refused"], seen["depth"], seen["reason"]) == (23, 0, 0, None)
    entry = await db.fetchrow("SELECT event, details_json FROM audit_log")
    assert entry["event"] == "site_queue.pulled"
    assert entry["details_json"] == {"site": "shop", "pulled": 23, "refused": 0}


async def test_sites_use_own_tokens_and_unavailable_site_blocks_no_other(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    async with fake_sites() as blog:
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
    flusher: SiteQueueFlusher, slash: bool, given: str
) -> None:
    flusher.web.entries, flusher.web.slash = [queued(1), queued(2)], slash
    site = flusher.web.site
    flusher.pull._sites.sites = [replace(site, queue_url=site.queue_url + given)]
    assert await flusher.tick()
    assert sorted(flusher.web.keys) == ["key-1", "key-2"]
    assert flusher.web.entries == []


async def test_regression_a_redirect_to_another_origin_gets_no_token(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    async with fake_sites() as other:
        flusher.web.moved_to = f"{other.url}/api/contact/queue"
        assert not await flusher.tick()
        assert other.requests == 0
    assert (await job(db))["last_details"]["sites"]["shop"]["reason"] == "site queue answered 308"


async def test_site_queue_write_error_is_reported_and_entries_are_imported(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    flusher.web.entries, flusher.web.write_error = [queued(1)], "ENOSPC"
    assert not await flusher.tick()
    assert flusher.web.keys == ["key-1"]
    run = await job(db)
    assert run["last_outcome"] == "failed"
    assert run["last_details"]["sites"]["shop"]["reason"] == "the site cannot write to its queue (ENOSPC)"
    flusher.web.write_error = None
    assert await flusher.tick()


async def test_an_empty_queue_is_a_run_without_an_audit_entry(flusher: SiteQueueFlusher, db: Any) -> None:
    assert await flusher.tick()
    assert (await job(db))["last_outcome"] == "succeeded"
    assert await entries(db) == []


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_an_unavailable_or_busy_gateway_uses_no_retry_of_the_lead(
    flusher: SiteQueueFlusher, db: Any, status: int
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


async def test_failed_removal_is_repeated_by_next_run_under_same_key(flusher: SiteQueueFlusher) -> None:
    flusher.web.entries, flusher.web.removals = [queued(1)], 500
    assert not await flusher.tick()
    flusher.web.removals = 204
    assert await flusher.tick()
    assert flusher.web.keys == ["key-1", "key-1"]  # the gateway knows it by its key
    assert flusher.web.entries == []


async def test_refused_site_lead_moves_to_queue_and_dies_after_third_retry(
    flusher: SiteQueueFlusher, kafka: Kafka, db: Any
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


async def test_an_outage_between_the_retries_of_a_refused_lead_uses_none(
    flusher: SiteQueueFlusher, db: Any
) -> None:
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


async def test_replay_of_dead_site_lead_posts_to_gateway_again(flusher: SiteQueueFlusher, db: Any) -> None:
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


async def test_regression_a_refused_lead_that_was_erased_is_not_stored_again(
    flusher: SiteQueueFlusher, db: Any
) -> None:
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


async def test_an_admins_flush_runs_the_job_although_its_tick_was_run(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    await flusher.tick()
    flusher.web.entries = [queued(1)]
    flusher.clock.turn(seconds=1)
    await flusher.pull.job.tick()
    assert flusher.web.keys == []
    await db.execute("UPDATE scheduled_job SET requested_at = now() WHERE name = $1", JOB)
    await flusher.pull.job.tick()
    assert flusher.web.keys == ["key-1"]
    assert (await job(db))["requested_at"] is None


async def test_regression_second_body_of_refused_key_is_stored_too(
    flusher: SiteQueueFlusher, db: Any
) -> None:
    flusher.web.refuse["key-1"] = refusal("email")
    for attempt, name in enumerate(("Ada", "Ada", "Grace")):
        body = {**queued(1)["body"], "name": name}
        flusher.web.entries = [queued(1, id=f"e{attempt}", body=body)]
        assert await flusher.tick()
    kept = await db.fetch("SELECT lead_id, payload FROM replay_queue ORDER BY first_failed_at")
    assert [row["lead_id"] for row in kept] == [LEAD, LEAD]
    assert [b"Ada" in kept[0]["payload"], b"Grace" in kept[1]["payload"]] == [True, True]
