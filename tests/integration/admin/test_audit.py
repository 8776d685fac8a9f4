"""The search of the audit log on a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from runtime.settings import Kafka, Postgres
from tests.support.services.admin import Admin, running_admin


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
