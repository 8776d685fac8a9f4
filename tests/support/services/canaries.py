"""Canaries as the gateway publishes them, and what the services write about them."""

from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from contracts import headers, topics
from contracts.canary import EMAIL, NAME, message_of
from contracts.leads import LeadReceived
from runtime.settings import Kafka
from tests.support.factories import lead, producer
from tests.support.wait import eventually

# What an ordinary lead changes. A canary changes none of them.
TABLES = (
    *("lead_inbox", "audit_log", "row_count", "email_delivery", "replay_queue", "webhook_event"),
    *("webhook_delivery", "lead_event_outbox", "held_lead", "collected_alert"),
)

RUN_OF_THE_JOB = (
    "INSERT INTO scheduled_job (name, schedule, runs, last_started_at, next_run_at)"
    " VALUES ('canary', '*/3 * * * *', 1, now(), now() + $1 * interval '1 minute')"
)
HOPS = ("gateway", "token", "form", "kafka", "persister", "postgresql", "notifier", "webhooks")


def canary(**changes: Any) -> LeadReceived:
    """Return a canary of the site default, as it is in Kafka."""
    canary_id = uuid7()
    fields = {"lead_id": canary_id, "name": NAME, "email": EMAIL, "message": message_of(canary_id)}
    return lead(**fields | changes)


async def add_canary(db: Any, site: str = "default", route: str = "form") -> LeadReceived:
    """Insert a canary as the flusher does before it sends it, and return the canary."""
    made = canary(site=site)
    await db.execute(
        "INSERT INTO canary (id, site, route) VALUES ($1, $2, $3)", made.lead_id, made.site, route
    )
    return made


async def post_canaries(kafka: Kafka, *canaries: LeadReceived) -> None:
    """Publish canaries as the gateway does."""
    async with producer(kafka) as sender:
        for each in canaries:
            await sender.send(
                kafka.topic_prefix + topics.RECEIVED.name,
                key=str(each.lead_id).encode(),
                value=each.model_dump_json().encode(),
                headers=[(headers.CANARY, str(each.lead_id).encode())],
            )


async def results_of(db: Any, canary_id: UUID, count: int) -> dict[str, str]:
    """Wait until so many hops have a result. Return the reason by hop, or `ok` and the note."""
    rows = await eventually(
        lambda: db.fetch("SELECT hop, ok, reason FROM canary_result WHERE canary_id = $1", canary_id),
        until=lambda found: len(found) == count,
        what=f"{count} results of the canary",
    )
    return {row["hop"]: f"ok {row['reason']}".strip() if row["ok"] else row["reason"] for row in rows}


async def changed_tables(db: Any) -> list[str]:
    """Return the tables of leads that have rows."""
    return [table for table in TABLES if await db.fetchval(f"SELECT EXISTS (SELECT FROM {table})")]


async def add_run(db: Any, *, smtp: str = "", site: str = "studio") -> None:
    """Insert a canary that was sent two minutes ago, and the results of its hops."""
    sent = await add_canary(db, site)
    await db.execute("UPDATE canary SET sent_at = now() - interval '2 minutes' WHERE id = $1", sent.lead_id)
    for hop in (*HOPS, "smtp"):
        failed = smtp if hop == "smtp" else ""
        await db.execute(
            "INSERT INTO canary_result (canary_id, hop, ok, reason, seconds) VALUES ($1, $2, $3, $4, 0.25)",
            sent.lead_id, hop, not failed, failed,
        )  # fmt: skip
