"""Edits of a lead on a real PostgreSQL, stored or still queued."""

import json
from typing import Any
from uuid import uuid4

import pytest

from contracts.leads import LeadReceived
from tests.support.factories import lead as make_lead
from tests.support.services.admin import Admin, queued_row


async def test_an_edit_keeps_the_original_and_audits_no_values(
    admin: Admin,
) -> None:
    lead = await admin.add_lead(email="adda@example.com")
    first = await admin.edit_lead(
        lead.lead_id, email="ada@example.com", company=" Engines ", notes="call\nher"
    )
    assert first["changed"] == ["email", "company", "notes"]
    assert (first["lead"]["email"], first["lead"]["company"]) == ("ada@example.com", "Engines")
    again = await admin.edit_lead(lead.lead_id, name="Ada King", assignee="bob", company="")
    assert again["lead"]["company"] is None
    row = await admin.db.fetchrow("SELECT original, body_sha256 FROM lead_inbox")
    assert row
    assert json.loads(row["original"])["email"] == "adda@example.com"
    assert json.loads(row["original"])["name"] == "Ada Lovelace"
    assert row["body_sha256"] == lead.body_sha256
    entries = await admin.db.fetch("SELECT event, actor, details_json FROM audit_log ORDER BY id")
    assert [(each["event"], each["actor"], json.loads(each["details_json"])) for each in entries] == [
        ("lead.edited", "ann", {"fields": ["email", "company", "notes"]}),
        ("lead.edited", "ann", {"fields": ["name", "company", "assignee"]}),
    ]


async def test_an_edit_of_an_outdated_lead_is_a_conflict(admin: Admin) -> None:
    lead = await admin.add_lead()
    seen = (await admin.get(f"/admin/leads/{lead.lead_id}"))["lead"]["updated_at"]
    await admin.edit_lead(lead.lead_id, notes="mine", expected_updated_at=seen)
    await admin.edit_lead(lead.lead_id, 409, notes="yours", expected_updated_at=seen)
    assert await admin.db.fetchval("SELECT notes FROM lead_inbox") == "mine"


@pytest.mark.parametrize(
    "body",
    [
        {"email": "no address"},
        {"service": None},
        {"message": None},
        {"message": "x" * 10_001},
        {"status": "won"},
    ],
)
async def test_an_edit_follows_the_rules_of_a_submission(admin: Admin, body: dict[str, Any]) -> None:
    lead = await admin.add_lead()
    await admin.edit_lead(lead.lead_id, 422, **body)
    assert await admin.db.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_a_service_can_be_cleared(admin: Admin) -> None:
    lead = await admin.add_lead()
    assert (await admin.edit_lead(lead.lead_id, service=" "))["changed"] == ["service"]
    assert await admin.db.fetchval("SELECT service FROM lead_inbox") == ""
    await admin.edit_lead(lead.lead_id, name="Grace")  # and the lead can be edited again


async def test_an_edit_without_a_difference_changes_nothing(admin: Admin) -> None:
    lead = await admin.add_lead()
    answer = await admin.edit_lead(lead.lead_id, name=lead.name)
    assert (answer["changed"], await admin.db.fetchval("SELECT count(*) FROM audit_log")) == ([], 0)


async def test_an_edit_updates_queued_emails_and_no_final_ones(admin: Admin) -> None:
    lead = await admin.add_lead()
    payload = lead.model_dump_json().encode()
    open_id = await admin.add_queue_row(lead_id=lead.lead_id, payload=payload)
    await admin.add_queue_row(
        lead_id=lead.lead_id, kind="admin_alert", state="resolved", payload=None, next_attempt_at=None
    )
    answer = await admin.edit_lead(lead.lead_id, email="new@example.com")
    assert answer["queue_ids"] == [str(open_id)]
    row = await admin.db.fetchrow("SELECT payload, original_payload FROM replay_queue WHERE id = $1", open_id)
    assert row
    assert LeadReceived.model_validate_json(row["payload"]).email == "new@example.com"
    assert row["original_payload"] == payload


async def test_a_queued_lead_is_edited_in_its_record(admin: Admin) -> None:
    lead = make_lead(email="typo@example.com")
    queue_id = await admin.add_queue_row(**queued_row(lead))
    answer = await admin.edit_lead(lead.lead_id, email="right@example.com")
    assert (answer["lead"], answer["queue_ids"]) == (None, [str(queue_id)])
    assert answer["message"].endswith(" 1 queued delivery uses the new fields.")
    row = await admin.db.fetchrow("SELECT payload, original_payload FROM replay_queue")
    assert row
    assert LeadReceived.model_validate_json(row["payload"]) == lead.model_copy(
        update={"email": "right@example.com"}
    )
    assert row["original_payload"] == lead.model_dump_json().encode()
    assert "typo" not in str(await admin.db.fetch("SELECT details_json FROM audit_log"))
    await admin.edit_lead(lead.lead_id, 409, assignee="bob")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"payload": b"\xff{"}, "cannot be decoded"),
        ({"payload": None}, "no longer stored"),
        ({"state": "replaying", "next_attempt_at": "now"}, "being stored"),
    ],
)
async def test_an_edit_of_an_unreadable_or_busy_record_is_refused(
    admin: Admin, changes: dict[str, Any], message: str
) -> None:
    lead = make_lead()
    if "next_attempt_at" in changes:
        changes = changes | {"next_attempt_at": lead.occurred_at}
    await admin.add_queue_row(**queued_row(lead, **changes))
    assert message in (await admin.edit_lead(lead.lead_id, 409, name="Ada"))["detail"]


async def test_name_and_message_can_be_cleared_and_the_address_only_changed(admin: Admin) -> None:
    lead = await admin.add_lead()
    await admin.edit_lead(lead.lead_id, name=None, message="")
    row = await admin.db.fetchrow("SELECT name, message, email FROM lead_inbox")
    assert row is not None
    assert tuple(row) == (None, "", lead.email)
    await admin.edit_lead(lead.lead_id, 409, email=None)


async def test_lead_without_an_address_can_be_given_one(admin: Admin) -> None:
    lead = await admin.add_lead(name=None, email=None, phone="+44 20 7946 0000")
    answer = await admin.edit_lead(lead.lead_id, email="", company="Engines")
    assert answer["changed"] == ["company"]
    await admin.edit_lead(lead.lead_id, email="ada@example.com")
    assert await admin.db.fetchval("SELECT email FROM lead_inbox") == "ada@example.com"


def refused_by_the_gateway(lead_id: Any, body: bytes, **changes: Any) -> dict[str, Any]:
    """Return the columns of a lead that a website had queued and the gateway refused."""
    return {
        "stage": "site",
        "kind": "pull",
        "lead_id": lead_id,
        "by_origin": True,
        "origin_topic": "site.studio",
        "reason": "gateway 422: email",
        "payload": body,
    } | changes


async def test_refused_website_lead_is_shown_by_name_and_repaired(admin: Admin) -> None:
    lead_id = uuid4()
    body = {"name": "Grete", "email": "grete@", "phone": 30123, "message": "Hallo\n\ud83d", "budget": ["10"]}
    queue_id = await admin.add_queue_row(**refused_by_the_gateway(lead_id, json.dumps(body).encode()))
    listed = await admin.get("/admin/queue/items", stage="site")
    detail = await admin.get(f"/admin/leads/{lead_id}")
    for items in (listed["items"], detail["queue"]):
        assert [(item["id"], item["lead_name"]) for item in items] == [(str(queue_id), "Grete")]
    answer = await admin.edit_lead(lead_id, email="grete@example.com", service="Website")
    assert (answer["changed"], answer["queue_ids"]) == (["email", "service"], [str(queue_id)])
    row = await admin.db.fetchrow("SELECT payload, original_payload FROM replay_queue")
    assert row
    repaired = json.loads(row["payload"])
    assert repaired == body | {
        "email": "grete@example.com",
        "message": "Hallo\n?",
        "service": "Website",
    }
    assert json.loads(row["original_payload"]) == body


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b"[" * 100_000])
async def test_a_refused_body_that_is_no_object_is_not_edited(admin: Admin, body: bytes) -> None:
    lead_id = uuid4()
    await admin.add_queue_row(**refused_by_the_gateway(lead_id, body))
    assert "cannot be decoded" in (await admin.edit_lead(lead_id, 409, name="Ada"))["detail"]
    assert (await admin.get("/admin/queue/items", stage="site"))["items"][0]["lead_name"] is None
