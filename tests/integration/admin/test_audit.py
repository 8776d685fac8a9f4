"""The search of the audit log on a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from runtime.settings import Kafka, Postgres
from tests.support.services.admin import Admin, running_admin
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Database, Stack


@pytest.fixture
async def admin(postgres: Postgres, kafka: Kafka) -> AsyncIterator[Admin]:
    async with running_admin(postgres, kafka) as running:
        yield running


async def test_the_audit_log_is_filtered_and_paged_newest_first(admin: Admin) -> None:
    moment = datetime(2024, 1, 3, tzinfo=UTC)
    await admin.db.execute(
        "INSERT INTO audit_log (event_id, event, actor, request_id, created_at_utc)"
        " SELECT gen_random_uuid(), 'lead.received', 'site', 'r' || n, $1 FROM generate_series(1, 7) AS n",
        moment,
    )
    first = await admin.get("/admin/audit", actor="site", limit=5)
    second = await admin.get("/admin/audit", actor="site", limit=5, cursor=first["next_cursor"])
    assert [entry["request_id"] for entry in first["entries"] + second["entries"]] == [
        f"r{number}" for number in range(7, 0, -1)
    ]
    assert len((await admin.get("/admin/audit", request_id="r3"))["entries"]) == 1
    assert (await admin.get("/admin/audit", until="2024-01-03"))["entries"] == []
    assert len((await admin.get("/admin/audit", since="2024-01-03T02:00:00+02:00"))["entries"]) == 7


@pytest.fixture
async def archived_until(database: Database) -> str:
    """Record an archive. Returns the time of its last entry."""
    owner = await asyncpg.connect(database.owner)
    await owner.execute(
        "INSERT INTO audit_archive (name, first_id, last_id, entries, first_at, last_at, sha256)"
        " VALUES ('audit_log_from_0', 1, 9, 9, '2024-01-03Z', '2024-02-03Z', '')"
    )
    await owner.close()
    return "2024-02-03T00:00:00Z"


async def test_the_audit_log_says_until_when_it_was_archived(admin: Admin, archived_until: str) -> None:
    assert (await admin.get("/admin/audit"))["archived_until"] == archived_until
    assert (await admin.get("/admin/audit", since="2024-03-01"))["archived_until"] is None


async def test_a_lead_of_before_says_that_entries_were_archived(admin: Admin, archived_until: str) -> None:
    old = await admin.add_lead(occurred_at=datetime(2024, 1, 3, tzinfo=UTC))
    new = await admin.add_lead()
    for lead, expected in ((old, archived_until), (new, None)):
        for path in ("", "/export"):
            found = await admin.get(f"/admin/leads/{lead.lead_id}{path}")
            assert found["audit_archived_until"] == expected


async def test_the_pages_say_that_entries_were_archived(
    postgres: Postgres, stack: Stack, archived_until: str
) -> None:
    async with running_dashboard(postgres, stack) as admin:
        await sign_in(admin)
        old = await admin.add_lead(occurred_at=datetime(2024, 1, 3, tzinfo=UTC))
        new = await admin.add_lead()
        for url, expected in (
            ("/admin/ui/audit", True),
            (f"/admin/ui/leads/{old.lead_id}", True),
            (f"/admin/ui/leads/{new.lead_id}", False),
        ):
            page = (await admin.client.get(url)).text
            assert ("moved to an archive" in page, archived_until[:10] in page) == (expected, expected)
