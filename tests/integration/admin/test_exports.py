"""The CSV export and the export of a person's data on a real PostgreSQL."""

import csv
import io
import json

import pytest

from services.admin.schemas.export_query import CsvQuery
from services.admin.store.leads import lead_exports
from tests.support.services.admin import Admin
from tests.support.wait import eventually


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


async def test_a_csv_export_is_filtered_escaped_and_audited(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lead_exports, "CHUNK", 2)
    for number in range(5):
        await admin.add_lead(
            name=f"=cmd|'/c calc'!A{number}", message='say "hi",\r\n\u202eworld', company="Acme"
        )
    await admin.add_lead(name="Someone else")
    answer = await admin.client.get("/admin/leads/export.csv", params={"q": "acme"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="leads-')
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = cells(answer.text)
    assert [row["name"] for row in rows] == [f"'=cmd|'/c calc'!A{number}" for number in (4, 3, 2, 1, 0)]
    assert rows[0]["message"] == 'say "hi",\r\n\u202eworld'
    entry = await admin.db.fetchrow("SELECT event, details_json FROM audit_log")
    assert entry
    assert (entry["event"], json.loads(entry["details_json"])) == (
        "lead.exported",
        {"what": "csv", "filters": ["q"], "count": 5},
    )


async def test_regression_spam_and_erased_leads_are_exported_only_on_request(admin: Admin) -> None:
    await admin.add_lead(name="Ada", phone="+44 20 7946 0958")
    await admin.add_lead("spam", name="Spam")
    await admin.add_lead("erased", name="Erased")
    url = "/admin/leads/export.csv"

    async def names(**params: str) -> set[str]:
        answer = await admin.client.get(url, params=params)
        assert answer.status_code == 200, answer.text
        return {row["name"] for row in cells(answer.text)}

    assert await names(zone="Asia/Kolkata") == {"Ada"}
    assert await names(include_spam_and_erased="true") == {"Ada", "Spam", "Erased"}
    assert await names(status_filter="spam") == {"Spam"}
    assert (await admin.client.get(url, params={"zone": "Mars/Olympus"})).status_code == 422
    entries = await admin.db.fetch("SELECT details_json FROM audit_log ORDER BY id")
    details = [json.loads(entry["details_json"]) for entry in entries]
    assert [(each["count"], each.get("include_spam_and_erased", False)) for each in details] == [
        (1, False),
        (3, True),
        (1, False),
    ]


async def test_a_stopped_csv_download_holds_no_transaction(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lead_exports, "CHUNK", 1)
    for _ in range(3):
        await admin.add_lead()
    chunks = await admin.app.state.adapters.exports.export_csv(CsvQuery(), "ann")
    await anext(chunks)
    await anext(chunks)

    async def no_open_transaction() -> bool:
        # A poll of the metrics may be in a transaction at this moment; an export would stay in one.
        return not await admin.db.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fastcore-admin'"
            " AND datname = current_database() AND state <> 'idle'"
        )

    await eventually(no_open_transaction, what="the end of every transaction")


async def columns(admin: Admin, table: str) -> set[str]:
    """Return the columns of a table, so that an export must contain new ones."""
    rows = await admin.db.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        table,
    )
    return {row["attname"] for row in rows}


async def test_a_person_export_has_every_column_and_the_other_leads(admin: Admin) -> None:
    lead, other = await admin.add_lead(email="ada@example.com"), await admin.add_lead(email="Ada@example.com")
    await admin.edit_lead(lead.lead_id, name="Ada King")
    await admin.add_email(lead.lead_id, "welcome", "sent")
    await admin.add_queue_row(lead_id=lead.lead_id, payload=lead.model_dump_json().encode())
    answer = await admin.client.get(f"/admin/leads/{lead.lead_id}/export")
    assert answer.status_code == 200
    assert "attachment" in answer.headers["content-disposition"]
    data = answer.json()
    assert data["lead"]["original"]["name"] == "Ada Lovelace"
    # `search_text` is derived from the other columns.
    assert data["lead"].keys() == await columns(admin, "lead_inbox") - {"search_text"}
    assert data["emails"][0].keys() == await columns(admin, "email_delivery")
    assert [mail["kind"] for mail in data["emails"]] == ["welcome"]
    assert data["queue"][0]["payload"]["email"] == "ada@example.com"
    assert data["other_leads"] == [str(other.lead_id)]
    assert [entry["event"] for entry in data["audit"]] == ["lead.edited", "lead.exported"]
    assert {each["topic"] for each in data["kafka"]} >= {"leads.received.v1", "leads.dead.v1"}
