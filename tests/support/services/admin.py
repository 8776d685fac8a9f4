"""The admin service in the test's process with a real PostgreSQL and Kafka, and rows for it to show."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from fastapi import FastAPI

from contracts.leads import LeadReceived
from runtime.settings import Debug, Kafka, Postgres
from services.admin.app import create_app
from services.admin.settings import Settings
from tests.support.factories import lead as make_lead

TOKEN = "ann-token-for-tests-0123456789"


@dataclass(frozen=True)
class Admin:
    """A client with the token of `ann`, and a connection to the service's database."""

    app: FastAPI
    client: httpx.AsyncClient
    db: "asyncpg.Connection[asyncpg.Record]"

    async def request(self, method: str, path: str, status: int = 200, /, **params: Any) -> Any:
        """Call a route and return the response's JSON; fail on another status."""
        response = await self.client.request(method, path, params=params)
        assert response.status_code == status, response.text
        return response.json()

    async def get(self, path: str, status: int = 200, /, **params: Any) -> Any:
        return await self.request("GET", path, status, **params)

    async def edit_lead(self, lead_id: UUID, status: int = 200, /, **fields: Any) -> Any:
        """Edit a lead and return the response's JSON; fail on another status."""
        response = await self.client.patch(f"/admin/leads/{lead_id}", json=fields)
        assert response.status_code == status, response.text
        return response.json()

    async def add_lead(self, status: str = "received", **changes: Any) -> LeadReceived:
        """Store a lead as the persister does."""
        made = make_lead(**changes)
        await add_leads(self.db, [made], status)
        return made

    async def add_queue_row(self, **changes: Any) -> UUID:
        """Insert a failure into the replay queue, as the flusher does."""
        now = datetime.now(UTC)
        row: dict[str, Any] = {
            "id": uuid4(),
            "stage": "notifier",
            "kind": "welcome",
            "lead_id": uuid4(),
            "state": "waiting",
            "reason": "smtp 451",
            "error": "RetryableError",
            "next_attempt_at": now,
            "origin_topic": "leads.received.v1",
            "origin_partition": 0,
            "origin_offset": 1,
            "origin_timestamp": now,
            "origin_group": "fastcore.notifier",
            "payload": b"{}",
            "first_failed_at": now,
            "last_failed_at": now,
        } | changes
        columns = ", ".join(row)
        values = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await self.db.execute(f"INSERT INTO replay_queue ({columns}) VALUES ({values})", *row.values())
        return UUID(str(row["id"]))

    async def add_delivery(self, name: str, state: str, lead_id: UUID | None = None, **changes: Any) -> UUID:
        """Insert an event with a delivery to one destination, and return the event's id.

        `event` is the event's type, `lead.received` by default. `body` is None once the lead is erased.
        """
        event_id, lead_id = uuid4(), lead_id or uuid4()
        await self.db.execute(
            "INSERT INTO webhook_event (id, type, lead_id, site, occurred_at, body, delivery_count)"
            " VALUES ($1, $2, $3, 'shop', now(), $4, 1)",
            event_id,
            changes.pop("event", "lead.received"),
            lead_id,
            changes.pop("body", "{}"),
        )
        waits = {} if state in ("pending", "failed") else {"next_attempt_at": None}
        row = {
            "event_id": event_id,
            "destination": name,
            "lead_id": lead_id,
            "state": state,
            "position": 1,
            **waits,
            **changes,
        }
        columns, values = ", ".join(row), ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await self.db.execute(f"INSERT INTO webhook_delivery ({columns}) VALUES ({values})", *row.values())
        return event_id

    async def add_email(self, lead_id: UUID, kind: str, state: str) -> None:
        await self.db.execute(
            "INSERT INTO email_delivery (lead_id, kind, state, message_id) VALUES ($1, $2, $3, 'm')",
            lead_id,
            kind,
            state,
        )


def queued_row(which: LeadReceived, **changes: Any) -> dict[str, Any]:
    """Return the columns of a queue row of a lead that the persister could not store."""
    return {
        "stage": "persister",
        "kind": "store",
        "lead_id": which.lead_id,
        "record_key": str(which.lead_id).encode(),
        "payload": which.model_dump_json().encode(),
        "headers": json.dumps({"correlation_id": "req-1"}),
        "state": "dead",
        "next_attempt_at": None,
    } | changes


async def add_leads(
    db: "asyncpg.Connection[asyncpg.Record]", leads: list[LeadReceived], status: str = "received"
) -> None:
    await db.executemany(
        "INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, phone, company, message,"
        " source, extra, spam_reasons, body_sha256, created_at_utc)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        [
            (
                each.lead_id,
                each.request_id,
                each.site,
                each.email,
                each.service,
                status,
                each.name,
                each.phone,
                each.company,
                each.message,
                json.dumps(each.source.model_dump()) if each.source else None,
                json.dumps(each.extra),
                list(each.spam_reasons),
                each.body_sha256,
                each.occurred_at,
            )
            for each in leads
        ],
    )


@asynccontextmanager
async def running_admin(postgres: Postgres, kafka: Kafka, **changes: Any) -> AsyncIterator[Admin]:
    """Run the app with its lifespan, and a client with ann's token."""
    fields: dict[str, Any] = {"postgres": postgres, "kafka": kafka, "debug": Debug(DEBUG=False)}
    settings = Settings.model_validate(fields | {"token": f"ann:{TOKEN},bob:bob-{TOKEN}"} | changes)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://admin", headers=headers) as client:
            db = await asyncpg.connect(postgres.url.get_secret_value())
            try:
                yield Admin(app, client, db)
            finally:
                await db.close()
