"""Deliveries to destinations: rows for tests, the check of their books, and bulk changes that send."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from contracts.lead_events import RECEIVED, event_id_for
from tests.support.services.admin import Admin
from tests.support.services.installation import Installation
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import SECRET

DESTINATION = """
[[destinations]]
name = "{name}"
kind = "webhook"
url = "{url}"
secret = "{secret}"
events = ["lead.received", "lead.status_changed"]
allow_private = true
"""


async def add_delivery(
    db: Any, name: str, state: str, lead_id: UUID | None = None, event: str = RECEIVED, **changes: Any
) -> UUID:
    """Insert an event with one delivery, as the webhooks service does, and return the event's id."""
    lead_id = lead_id or uuid4()
    event_id = event_id_for(lead_id, RECEIVED) if event == RECEIVED else uuid4()
    position = await db.fetchval(
        "INSERT INTO webhook_event (id, type, lead_id, site, occurred_at, body, delivery_count)"
        " VALUES ($1, $2, $3, 'shop', now(), '{}', 1)"
        " ON CONFLICT (id) DO UPDATE SET delivery_count = webhook_event.delivery_count + 1"
        " RETURNING position",
        event_id,
        event,
        lead_id,
    )
    row = {
        "event_id": event_id,
        "destination": name,
        "lead_id": lead_id,
        "state": state,
        "position": position,
        "type": event,
        "reason": "destination answered 500" if state in ("failed", "dead") else None,
    } | changes
    columns, values = ", ".join(row), ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await db.execute(f"INSERT INTO webhook_delivery ({columns}) VALUES ({values})", *row.values())
    return event_id


async def assert_books_balance(db: Any) -> None:
    """Check that each event has as many deliveries as it counts, and each lead one `lead.received`."""
    wrong = await db.fetch(
        "SELECT e.id, e.delivery_count, count(d.event_id) FROM webhook_event e"
        " LEFT JOIN webhook_delivery d ON d.event_id = e.id GROUP BY e.id"
        " HAVING count(d.event_id) <> e.delivery_count"
    )
    assert wrong == []
    twice = "SELECT lead_id FROM webhook_event WHERE type = $1 GROUP BY lead_id HAVING count(*) > 1"
    assert await db.fetch(twice, RECEIVED) == []


async def start_bulk(client: httpx.AsyncClient, status: int = 202, /, **body: Any) -> Any:
    """Start a bulk change and return the response's JSON; fail on another status."""
    params = {"dry_run": "true"} if body.pop("dry_run", False) else {}
    answer = await client.post("/admin/bulk", json=body, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


async def preview_bulk(client: httpx.AsyncClient, **body: Any) -> Any:
    """Return the preview of a bulk change."""
    return await start_bulk(client, 200, dry_run=True, **body)


async def finish_bulk(client: httpx.AsyncClient, bulk_id: str, seconds: float = 30) -> Any:
    """Wait until a bulk change is finished, and return its details."""

    async def details() -> Any:
        return (await client.get(f"/admin/bulk/{bulk_id}")).json()

    return await eventually(
        details,
        until=lambda found: found["bulk"]["state"] == "finished",
        seconds=seconds,
        what="the end of the action",
    )


async def run_bulk(admin: Admin, **body: Any) -> Any:
    """Start a bulk change, wait until it is finished, and return its details."""
    return await finish_bulk(admin.client, (await start_bulk(admin.client, **body))["bulk"]["id"])


@contextmanager
def _more_in_file(path: Path, text: str) -> Iterator[None]:
    """Append a text to a file, and remove it at the end."""
    before = path.read_text()
    path.write_text(before + text)
    try:
        yield
    finally:
        path.write_text(before)


@asynccontextmanager
async def new_destination(
    installation: Installation, name: str, url: str, folder: Path
) -> AsyncIterator[None]:
    """Add a destination to the installation's sites file, and wait until all services use it."""
    (folder / "secret").write_text(SECRET)
    entry = DESTINATION.format(name=name, url=url, secret=f"file:{folder / 'secret'}")

    async def known() -> bool:
        # The webhooks service inserts the row. The admin service has the kind from the file.
        found = (await installation.admin("GET", "/admin/destinations")).json()["destinations"]
        rows = await installation.fetch("SELECT FROM webhook_destination WHERE name = $1", name)
        return bool(rows) and any(each["name"] == name and each["kind"] for each in found)

    with _more_in_file(Path(installation.services["admin"].environment["FASTCORE_SITES_FILE"]), entry):
        await eventually(known, every=0.3, seconds=30, what="the new destination")
        yield
