"""The admin API on a real PostgreSQL and Kafka: leads, statuses and emails."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from contracts.leads import LeadReceived
from contracts.visit import Source
from runtime.settings import Kafka, Postgres
from tests.support.services.admin import Admin, running_admin
from tests.support.stack import Database, Stack


async def test_leads_are_listed_newest_first_with_their_total(admin: Admin) -> None:
    start = datetime(2024, 1, 3, tzinfo=UTC)
    leads = [await admin.add_lead(occurred_at=start + timedelta(hours=hour)) for hour in range(5)]
    answer = await admin.get("/admin/leads", limit=2)
    assert [lead["id"] for lead in answer["leads"]] == [str(leads[4].lead_id), str(leads[3].lead_id)]
    assert (answer["total"], answer["total_is_estimate"]) == (5, False)
    assert answer["leads"][0]["created_at_utc"] == "2024-01-03T04:00:00Z"


async def test_cursors_page_through_leads_of_the_same_time(admin: Admin) -> None:
    moment = datetime(2024, 1, 3, tzinfo=UTC)
    stored = {str((await admin.add_lead(occurred_at=moment)).lead_id) for _ in range(7)}
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await admin.get("/admin/leads", limit=3, **cursor)
        seen += [lead["id"] for lead in page["leads"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == 7
    assert set(seen) == stored


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"status_filter": "won"}, {"Won"}),
        ({"status_filter": ["won", "lost"]}, {"Won", "Lost"}),
        ({"service": "SEO"}, {"Seo"}),
        ({"service": "seo"}, {"Seo", "Audit"}),
        ({"service": "O AUDIT"}, {"Audit"}),
        ({"service": "%"}, set()),
        ({"service": "seo", "q": "audit"}, {"Audit"}),
        ({"q": "gra"}, {"Grace"}),
        ({"q": "navy.mil"}, {"Grace"}),
        ({"q": "NAVY grace"}, {"Grace"}),
        ({"q": "o'brien acme.com"}, {"O'Brien"}),
        ({"q": "brace"}, set()),
        ({"q": "grace' | 'won"}, set()),
        ({"since": "2030-01-01"}, {"Future"}),
        ({"until": "2010-01-01T00:00:00Z"}, {"Past"}),
        ({"q": "grace", "status_filter": "won"}, set()),
        ({"first_source": "fair"}, {"Fair"}),
        ({"first_source": "mail"}, {"Mail"}),
        ({"source": "mail"}, {"Fair", "Mail"}),
        ({"campaign": "May"}, {"Fair"}),
        ({"campaign": "May", "first_source": "mail"}, set()),
        ({"landing_page": "https://x.example/a"}, {"Fair"}),
        ({"landing_page": "https://x.example/a?b=c"}, set()),
    ],
)
async def test_leads_are_filtered_and_searched(admin: Admin, params: dict[str, Any], names: set[str]) -> None:
    await admin.add_lead(name="Grace", email="hopper@navy.mil")
    await admin.add_lead(name="O'Brien", company="Acme.com", email="x@example.com")
    await admin.add_lead(name="Seo", service="SEO", email="x@example.com")
    await admin.add_lead(name="Audit", service="Seo audit", email="x@example.com")
    await admin.add_lead("won", name="Won", email="x@example.com")
    await admin.add_lead("lost", name="Lost", email="x@example.com")
    await admin.add_lead(name="Future", email="x@example.com", occurred_at=datetime(2031, 1, 1, tzinfo=UTC))
    await admin.add_lead(name="Past", email="x@example.com", occurred_at=datetime(2001, 1, 1, tzinfo=UTC))
    fair = {"utm_campaign": "May", "first_utm_source": "fair", "landing_page": "https://x.example/a?b=c#d"}
    await admin.add_lead(name="Fair", email="x@example.com", source=Source(utm_source="mail", **fair))
    await admin.add_lead(name="Mail", email="x@example.com", source=Source(utm_source="mail"))
    answer = await admin.get("/admin/leads", **params)
    assert {lead["name"] for lead in answer["leads"]} == names
    assert answer["total"] == len(names)


async def test_a_lead_is_shown_with_emails_queue_and_timeline(admin: Admin) -> None:
    lead = await admin.add_lead(extra={"budget": 7})
    await admin.add_email(lead.lead_id, "welcome", "sent")
    await admin.add_queue_row(lead_id=lead.lead_id, kind="admin_alert")
    await admin.request("PATCH", f"/admin/leads/{lead.lead_id}/status", new_status="processing")
    answer = await admin.get(f"/admin/leads/{lead.lead_id}")
    assert answer["lead"]["email"] == lead.email
    assert answer["lead"]["extra"] == {"budget": 7}
    assert [(mail["kind"], mail["state"]) for mail in answer["emails"]] == [("welcome", "sent")]
    assert [row["kind"] for row in answer["queue"]] == ["admin_alert"]
    (entry,) = answer["audit"]
    assert (entry["event"], entry["actor"]) == ("lead.status_changed", "ann")
    assert entry["details_json"] == {"from": "received", "to": "processing", "mails_requested": []}
    assert [event["title"] for event in answer["timeline"]][-2:] == [
        "ann changed the status from New to In progress.",
        "Next retry of the team notification, soon after this time; 3 retries left.",
    ]


async def test_a_lead_s_times_are_utc_in_any_database_time_zone(
    postgres: Postgres, database: Database, stack: Stack
) -> None:
    owner = await asyncpg.connect(database.owner)
    name = await owner.fetchval("SELECT current_database()")
    await owner.execute(f"ALTER DATABASE \"{name}\" SET timezone TO 'Asia/Tokyo'")
    await owner.close()
    async with running_admin(postgres, Kafka(bootstrap_servers=stack.bootstrap_servers)) as admin:
        lead = await admin.add_lead()
        await admin.add_email(lead.lead_id, "welcome", "sent")
        await admin.add_queue_row(lead_id=lead.lead_id, kind="admin_alert")
        answer = await admin.get(f"/admin/leads/{lead.lead_id}")
    titles = [
        answer["lead"]["stored_at"],
        answer["emails"][0]["created_at"],
        answer["queue"][0]["last_failed_at"],
    ]
    titles += [event["at"] for event in answer["timeline"]]
    assert [each for each in titles if not each.endswith("Z")] == []


async def test_a_lead_that_is_not_stored_is_found_by_its_queue_row(admin: Admin) -> None:
    lead_id = uuid4()
    await admin.get(f"/admin/leads/{lead_id}", 404)
    await admin.add_queue_row(lead_id=lead_id, stage="persister", kind="store", reason="bug: X")
    answer = await admin.get(f"/admin/leads/{lead_id}")
    assert answer["lead"] is None
    assert answer["queue"][0]["reason"] == "bug: X"


async def test_a_status_change_with_an_outdated_expected_is_a_conflict(admin: Admin) -> None:
    lead = await admin.add_lead()
    path = f"/admin/leads/{lead.lead_id}/status"
    answers = await asyncio.gather(
        *(
            admin.client.patch(path, params={"new_status": new, "expected": "received"})
            for new in ("won", "lost")
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert await admin.db.fetchval("SELECT count(*) FROM audit_log") == 1


async def test_setting_the_same_status_changes_nothing(admin: Admin) -> None:
    lead = await admin.add_lead("won")
    answer = await admin.request("PATCH", f"/admin/leads/{lead.lead_id}/status", new_status="won")
    assert (answer["changed"], answer["message"]) == (False, "The status was already won.")
    assert await admin.db.fetchval("SELECT count(*) FROM audit_log") == 0


@pytest.mark.parametrize(
    ("status", "params", "code"),
    [
        ("erased", {"new_status": "received"}, 409),
        ("spam", {"new_status": "won"}, 409),
        ("received", {"new_status": "erased"}, 422),
        ("received", {"new_status": "nonsense"}, 422),
        ("received", {}, 422),
        ("received", {"new_status": "won", "expectd": "received"}, 422),
    ],
)
async def test_an_invalid_status_change_is_refused(
    admin: Admin, status: str, params: dict[str, str], code: int
) -> None:
    lead = await admin.add_lead(status)
    answer = await admin.client.patch(f"/admin/leads/{lead.lead_id}/status", params=params)
    assert answer.status_code == code
    assert answer.headers["content-type"] == "application/problem+json"
    assert await admin.db.fetchval("SELECT status FROM lead_inbox") == status


async def test_releasing_from_spam_requests_both_emails(admin: Admin) -> None:
    lead = await admin.add_lead("spam", spam_reasons=("honeypot",), extra={"a": [1]}, company="Acme")
    for kind in ("welcome", "admin_alert"):
        await admin.add_email(lead.lead_id, kind, "suppressed")
    answer = await admin.request("PATCH", f"/admin/leads/{lead.lead_id}/status", new_status="received")
    assert answer["mails_requested"] == ["admin_alert", "welcome"]
    rows = await admin.db.fetch("SELECT * FROM replay_queue ORDER BY kind")
    assert [(row["stage"], row["kind"], row["state"]) for row in rows] == [
        ("notifier", "admin_alert", "waiting"),
        ("notifier", "welcome", "waiting"),
    ]
    for row in rows:
        assert (row["made_by"], row["requested_by"]) == ("admin", "ann")
        assert row["requested_at"] is not None
        assert row["record_key"] == str(lead.lead_id).encode()
        payload = LeadReceived.model_validate_json(row["payload"])
        assert payload == lead.model_copy(update={"event_id": payload.event_id})


async def test_releasing_from_spam_twice_keeps_one_row_per_email(admin: Admin) -> None:
    lead = await admin.add_lead("spam")
    await admin.add_queue_row(lead_id=lead.lead_id, state="resolved", payload=None, next_attempt_at=None)
    path = f"/admin/leads/{lead.lead_id}/status"
    for status in ("received", "spam", "received"):
        await admin.request("PATCH", path, new_status=status)
    rows = await admin.db.fetch("SELECT kind, state, made_by FROM replay_queue ORDER BY kind")
    assert [tuple(row) for row in rows] == [
        ("admin_alert", "waiting", "admin"),
        ("welcome", "waiting", "flusher"),
    ]


async def test_releasing_from_spam_does_not_resend_a_sent_email(admin: Admin) -> None:
    lead = await admin.add_lead("spam")
    await admin.add_email(lead.lead_id, "welcome", "sent")
    answer = await admin.request("PATCH", f"/admin/leads/{lead.lead_id}/status", new_status="received")
    assert answer["mails_requested"] == ["admin_alert"]


@pytest.mark.parametrize("delivery", ["dead", "unknown", "suppressed", None])
async def test_a_resend_requests_the_email_in_one_row(admin: Admin, delivery: str | None) -> None:
    lead = await admin.add_lead()
    if delivery:
        await admin.add_email(lead.lead_id, "welcome", delivery)
    path = f"/admin/leads/{lead.lead_id}/emails/welcome/resend"
    first, second = await admin.request("POST", path, 202), await admin.request("POST", path, 202)
    assert first["queue_id"] == second["queue_id"]
    row = await admin.db.fetchrow("SELECT * FROM replay_queue")
    assert row is not None
    assert (row["state"], row["requested_by"]) == ("waiting", "ann")


@pytest.mark.parametrize(("status", "delivery"), [("spam", None), ("erased", "dead"), ("received", "sent")])
async def test_a_resend_of_a_sent_or_suppressed_email_is_refused(
    admin: Admin, status: str, delivery: str | None
) -> None:
    lead = await admin.add_lead(status)
    if delivery:
        await admin.add_email(lead.lead_id, "welcome", delivery)
    await admin.request("POST", f"/admin/leads/{lead.lead_id}/emails/welcome/resend", 409)
    assert await admin.db.fetchval("SELECT count(*) FROM replay_queue") == 0


async def test_a_resend_of_an_unknown_lead_or_kind_is_refused(admin: Admin) -> None:
    await admin.request("POST", f"/admin/leads/{uuid4()}/emails/welcome/resend", 404)
    lead = await admin.add_lead()
    await admin.request("POST", f"/admin/leads/{lead.lead_id}/emails/newsletter/resend", 422)
