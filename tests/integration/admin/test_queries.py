"""The admin service's SQL on the migrated schema: every query prepares, and lists use the indexes."""

import importlib
import pkgutil
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from runtime.settings import Kafka, Postgres
from services.admin import monitoring, store
from services.admin.schemas.filters import LeadFilter
from services.admin.schemas.search_terms import search_parameters
from services.admin.store.leads import search
from services.admin.store.leads.search import COUNT_EXACTLY_UP_TO
from tests.support.services.admin import Admin, running_admin
from tests.support.stack import Database, Stack

ROWS = 12_000
# The tables of digests and of archives, and the audit log's partitions ahead, have no rows here. PostgreSQL
# reads an empty table without its index.
SCANNED = re.compile(r"Seq Scan on (?!collected_alert|alert_digest|audit_archive|audit_log_from_\d0)")
MODULES = [
    module
    for package in (store, monitoring)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if hasattr(module := importlib.import_module(found.name), "_SQL")
]
QUERIES = {
    name: getattr(module._SQL, name)
    for module in MODULES
    for name in module._SQL.available_queries
    if not name.endswith("_cursor")
}


@pytest.fixture
async def db(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.service)
    yield connection
    await connection.close()


async def test_every_query_is_prepared_by_the_services_role(db: Any) -> None:
    assert len(MODULES) >= 11
    assert len(QUERIES) > 40
    for module in MODULES:
        for name in module._SQL.available_queries:
            if not name.endswith("_cursor"):
                await db.prepare(getattr(module._SQL, name).sql)


async def fill(database: Database) -> None:
    """Insert leads, emails, queue rows and three audit entries per lead, and run ANALYZE."""
    owner = await asyncpg.connect(database.owner)
    await owner.execute(
        f"""
        INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, company, message,
                                phone, body_sha256, source, created_at_utc)
        SELECT gen_random_uuid(), 'r' || n, 'site', 'person' || n || '@example' || n % 100 || '.com',
               'service ' || n % 1000, CASE WHEN n % 500 = 0 THEN 'won' ELSE 'received' END, 'Person ' || n,
               'Company ' || n % 50, 'hello', '+44 20 ' || 70000000 + n, repeat('0', 64),
               jsonb_build_object('utm_source', 'source ' || n % 400, 'utm_campaign', 'campaign ' || n % 400,
                                  'landing_page', 'https://x.example/' || n % 400 || '?x'),
               now() - n * interval '1 minute'
        FROM generate_series(1, {ROWS}) AS n;
        INSERT INTO audit_log (event_id, event, actor, lead_id, request_id, created_at_utc)
        SELECT gen_random_uuid(), event, 'persister', id, request_id, created_at_utc
        FROM lead_inbox, unnest(ARRAY['lead.received', 'email.sent', 'email.sent']) AS event;
        INSERT INTO email_delivery (lead_id, kind, state, message_id)
        SELECT id, 'welcome', 'sent', 'm' FROM lead_inbox;
        INSERT INTO lead_note (id, lead_id, author, body)
        SELECT gen_random_uuid(), id, 'ann', 'x' FROM lead_inbox;
        INSERT INTO replay_queue (id, stage, kind, lead_id, state, reason, error, origin_topic,
                                  origin_partition, origin_offset, origin_timestamp, origin_group,
                                  first_failed_at, last_failed_at)
        SELECT gen_random_uuid(), 'notifier', 'welcome', id, 'resolved', 'smtp 451', 'X', 't', 0, 0, now(),
               'g', created_at_utc, created_at_utc
        FROM lead_inbox;
        INSERT INTO lead_note (id, lead_id, author, body)
        SELECT gen_random_uuid(), id, 'ann', 'a note' FROM lead_inbox;
        """
    )
    await owner.execute("ANALYZE")
    await owner.close()


def arguments(name: str, given: dict[str, Any]) -> list[Any]:
    """Return the parameters in the order in which aiosql numbered them."""
    module = next(each for each in MODULES if name in each._SQL.available_queries)
    order = module._SQL.driver_adapter.var_sorted[name]
    return [given.get(parameter) for parameter in order]


async def test_lists_and_counts_use_indexes(database: Database, db: Any) -> None:
    await fill(database)
    lead = await db.fetchrow("SELECT * FROM lead_inbox WHERE request_id = 'r6000'")
    page = {"limit": 51, "offset": 0, "bound": 10_001}
    place = {"after_at": lead["created_at_utc"], "after_id": lead["id"]}
    rare = search_parameters("person6000@exam")
    # Without pg_trgm a search reads the leads from the newest on.
    searched = await db.fetchval("SELECT to_regclass('lead_inbox_search')::text") or "lead_inbox"
    by_id, by_reference = searched, searched
    if searched == "lead_inbox_search":
        by_id, by_reference = "lead_inbox_pkey", "lead_inbox_reference"
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("list_leads", page, "lead_inbox_created"),
        ("list_leads", page | place, "lead_inbox_created"),
        ("list_leads", page | {"since": lead["created_at_utc"]}, "lead_inbox_created"),
        ("list_leads", page | {"status": "won"}, "lead_inbox_status"),
        ("list_leads", page | {"statuses": ["won", "lost"]}, "lead_inbox_status"),
        ("list_leads", page | {"statuses": ["won", "received"]}, "lead_inbox_created"),
        ("count_leads", page | {"statuses": ["won", "lost"]}, "lead_inbox_status"),
        ("list_leads", page | {"service": "service 7"}, "lead_inbox_service"),
        ("list_leads", page | {"services": ["service 7", "service 17"]}, "lead_inbox_service"),
        ("list_leads", page | {"first_source": "source 7"}, "lead_inbox_first_source"),
        ("list_leads", page | {"campaign": "campaign 7"}, "lead_inbox_campaign"),
        ("list_leads", page | {"landing_page": "https://x.example/7"}, "lead_inbox_landing_page"),
        ("has_service", {"service": "service 7"}, "lead_inbox_service"),
        ("find_services", {"part": "ice 7"}, "lead_inbox_service"),
        ("list_leads", page | rare, searched),
        ("gather_leads", page | rare, searched),
        ("gather_leads", page | search_parameters(str(lead["id"])), by_id),
        ("gather_leads", page | search_parameters(str(lead["id"])[-8:]), by_reference),
        ("count_leads", page | {"status": "won"}, "lead_inbox_status"),
        ("count_leads", page | rare, searched),
        ("list_export", page | {"left_out": []}, "lead_inbox_created"),
        ("list_export", page | rare | {"left_out": ["spam", "erased"]}, searched),
        ("list_chosen", {"ids": [lead["id"]]}, "lead_inbox_pkey"),
        ("find_by_phone", {"ending": "079460958"}, "lead_inbox_phone_ending"),
        ("lock_queued", {"id": lead["id"]}, "replay_queue_lead"),
        ("read_queue", {"id": lead["id"]}, "replay_queue_lead"),
        ("get_lead", {"id": lead["id"]}, "lead_inbox_pkey"),
        ("get_lead", {"id": lead["id"]}, "email_delivery_pkey"),
        ("get_lead", {"id": lead["id"]}, "audit_log_from_0_lead"),
        ("get_lead", {"id": lead["id"]}, "lead_note_lead"),
        ("get_lead", {"id": lead["id"]}, "replay_queue_lead"),
        ("get_lead", {"id": lead["id"]}, "lead_note_lead"),
        ("list_audit", page, "audit_log_from_0_created"),
        ("list_audit", page | {"event": "lead.received"}, "audit_log_"),
        ("list_audit", page | {"lead_id": lead["id"]}, "audit_log_from_0_lead"),
        ("list_audit", page | {"request_id": "r6000"}, "audit_log_from_0_request"),
        (
            "list_audit_of_actor",
            page | {"actor": "persister", "events": ["email.sent"]},
            "audit_log_from_0_actor",
        ),
        (
            "list_audit",
            page | {"after_at": lead["created_at_utc"], "after_id": 1},
            "audit_log_from_0_created",
        ),
        ("list_queue", page | {"state": "waiting"}, "replay_queue_"),
        ("list_queue", page | {"state": "resolved"}, "replay_queue_"),
        ("list_queue", page, "replay_queue_recent"),
    ]
    for name, given, index in cases:
        async with db.transaction():
            await db.execute(QUERIES["plan_for_values"].sql)
            rows = await db.fetch("EXPLAIN " + QUERIES[name].sql, *arguments(name, given))
        plan = "\n".join(row[0] for row in rows)
        assert index in plan, f"{name} with {sorted(given)}:\n{plan}"
        assert index == "lead_inbox" or not SCANNED.search(plan), f"{name} with {sorted(given)}:\n{plan}"


async def test_totals_above_the_exact_limit_are_marked_as_estimates(
    postgres: Postgres, database: Database, stack: Stack
) -> None:
    await fill(database)
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers)
    async with running_admin(postgres, kafka) as admin:
        answer = await admin.get("/admin/leads")
        assert answer["total_is_estimate"]
        assert COUNT_EXACTLY_UP_TO < answer["total"] < ROWS * 1.2
        exact = await admin.get("/admin/leads", q="person60")
        assert (exact["total"], exact["total_is_estimate"]) == (111, False)
        both = await admin.get("/admin/leads", q="example person60")  # a word of all leads and one of a few
        assert (both["total"], both["leads"]) == (111, exact["leads"])
        common = await admin.get("/admin/leads", q="example")
        assert common["total_is_estimate"]
        assert [lead["email"] for lead in common["leads"]] == [lead["email"] for lead in answer["leads"]]
        beyond = await admin.get("/admin/leads", q="person60", offset=150)
        assert (beyond["total"], beyond["leads"]) == (111, [])
        deep = await admin.get("/admin/leads", 422, q="person60", offset=201)
        assert "cursor" in str(deep)
        await _first_pages_agree(admin)


async def test_many_matches_are_estimated_and_not_counted(
    postgres: Postgres, database: Database, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers)
    async with running_admin(postgres, kafka) as admin:
        for sort in ("received", "name"):

            async def find(order: str = sort, **filters: Any) -> tuple[int, bool, int]:
                answer = await admin.get("/admin/leads", sort=order, **filters)
                return answer["total"], answer["total_is_estimate"], len(answer["leads"])

            monkeypatch.setattr(search, "COUNT_EXACTLY_UP_TO", ROWS // 2)
            total, is_estimate, _ = await find(status_filter="received")
            assert (is_estimate, total == pytest.approx(ROWS, rel=0.2)) == (True, True)
            assert await find(status_filter="won", limit=10) == (ROWS // 500, False, 10)
            # A page that shows the number of matches needs neither a count nor an estimate.
            monkeypatch.setattr(search, "COUNT_EXACTLY_UP_TO", 0)
            assert await find(status_filter="won", source="source 1") == (0, False, 0)
            assert await find(status_filter="won", offset=20) == (24, False, 4)
            total, is_estimate, shown = await find(status_filter="won", offset=10, limit=10)
            assert (is_estimate, total >= 21, shown) == (True, True, 10)


async def test_filters_that_exclude_each_other_are_estimated_to_match_few(
    database: Database, db: Any
) -> None:
    owner = await asyncpg.connect(database.owner)
    await owner.execute(
        """
        INSERT INTO lead_inbox (id, request_id, site, email, service, status, message, body_sha256, assignee,
                                created_at_utc)
        SELECT gen_random_uuid(), 'r', 's', 'x@example.com', 'x',
               CASE n % 2 WHEN 0 THEN 'won' ELSE 'received' END,
               '', repeat('0', 64), CASE n % 2 WHEN 0 THEN 'ann' END, now()
        FROM generate_series(1, 4000) AS n
        """
    )
    await owner.execute("ANALYZE lead_inbox")
    await owner.close()
    selection = LeadFilter(status_filter=("received",), assignee="ann").selection()
    await db.execute("SET plan_cache_mode = force_custom_plan")
    assert await search._estimate(db, selection) < 10
    selection = LeadFilter(status_filter=("won",), assignee="ann").selection()
    assert await search._estimate(db, selection) > 1000


async def _first_pages_agree(admin: Admin) -> None:
    by_offset = await admin.get("/admin/leads", limit=50, offset=50)
    first = await admin.get("/admin/leads", limit=50)
    by_cursor = await admin.get("/admin/leads", limit=50, cursor=first["next_cursor"])
    assert by_offset["leads"] == by_cursor["leads"]
