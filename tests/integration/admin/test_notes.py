"""Notes on a lead through the API: authors, two admins at the same time, audit, export and erasure."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from services.admin.rules.note_rules import NOTES_MAX
from tests.support.services.admin import TOKEN, Admin

BOB = {"Authorization": f"Bearer bob-{TOKEN}"}
SECRET = "Her mother is ill."


def url_of(lead_id: UUID, note: dict[str, Any] | None = None) -> str:
    return f"/admin/leads/{lead_id}/notes" + (f"/{note['id']}" if note else "")


async def add_note(admin: Admin, lead_id: UUID, text: str, headers: dict[str, str] | None = None) -> Any:
    """Write a note as ann, or as whose token `headers` has, and return it."""
    response = await admin.client.post(url_of(lead_id), json={"text": text}, headers=headers)
    assert response.status_code == 201, response.text
    return response.json()


async def test_notes_have_authors_and_are_edited_deleted_and_audited(admin: Admin) -> None:
    lead = await admin.add_lead()
    first = await add_note(admin, lead.lead_id, f"  {SECRET}\r\nCall later. ")
    second = await add_note(admin, lead.lead_id, "Called.", BOB)
    assert (first["author"], first["text"]) == ("ann", f"{SECRET}\r\nCall later.")
    assert first["created_at"] == first["updated_at"]
    notes = (await admin.get(url_of(lead.lead_id)))["notes"]
    assert notes == [second, first]
    assert (await admin.get(f"/admin/leads/{lead.lead_id}"))["notes"] == notes
    response = await admin.client.patch(url_of(lead.lead_id, first), json={"text": "Call on Monday."})
    edited = response.json()
    assert (edited["text"], edited["author"], edited["created_at"]) == (
        "Call on Monday.",
        "ann",
        first["created_at"],
    )
    assert edited["updated_at"] > first["updated_at"]
    again = await admin.client.patch(url_of(lead.lead_id, first), json={"text": "Call on Monday."})
    assert again.json() == edited, "the same text changes nothing"
    assert (await admin.client.delete(url_of(lead.lead_id, first))).status_code == 204
    assert (await admin.client.delete(url_of(lead.lead_id, first))).status_code == 404
    assert (await admin.get(url_of(lead.lead_id)))["notes"] == [second]
    rows = await admin.db.fetch(
        "SELECT event, actor, lead_id, details_json::text AS details FROM audit_log ORDER BY id"
    )
    assert [(row["event"], row["actor"]) for row in rows] == [
        ("lead.note_added", "ann"),
        ("lead.note_added", "bob"),
        ("lead.note_edited", "ann"),
        ("lead.note_deleted", "ann"),
    ]
    assert {row["lead_id"] for row in rows} == {lead.lead_id}
    assert not [row for row in rows if "mother" in row["details"] or "Monday" in row["details"]]


async def test_only_the_author_and_the_actor_admin_change_a_note(admin: Admin) -> None:
    lead = await admin.add_lead()
    note = await add_note(admin, lead.lead_id, "Mine.")
    for method, body in (("PATCH", {"text": "Yours."}), ("DELETE", None)):
        response = await admin.client.request(method, url_of(lead.lead_id, note), json=body, headers=BOB)
        assert response.status_code == 403
        assert response.json()["detail"] == "Only ann or admin can change this note."
    assert (await admin.get(url_of(lead.lead_id)))["notes"] == [note]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):  # not even with the services' password
        await admin.db.execute("UPDATE lead_note SET author = 'bob'")


async def test_of_two_who_edit_a_note_at_the_same_time_one_is_refused(admin: Admin) -> None:
    lead = await admin.add_lead()
    note = await add_note(admin, lead.lead_id, "Mine.")

    async def edit(text: str) -> httpx.Response:
        body = {"text": text, "expected_updated_at": note["updated_at"]}
        return await admin.client.patch(url_of(lead.lead_id, note), json=body)

    answers = await asyncio.gather(*(edit(text) for text in ("one", "two")))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    winner = next(answer.json() for answer in answers if answer.status_code == 200)
    assert (await admin.get(url_of(lead.lead_id)))["notes"] == [winner]


@pytest.mark.parametrize("text", ["", " \n\u200b", "x" * 10_001, None, 5])
async def test_a_note_has_a_text_of_bounded_length(admin: Admin, text: object) -> None:
    lead = await admin.add_lead()
    response = await admin.client.post(url_of(lead.lead_id), json={"text": text})
    assert response.status_code == 422
    assert await admin.db.fetchval("SELECT count(*) FROM lead_note") == 0


async def test_a_lead_has_a_bounded_number_of_notes(admin: Admin) -> None:
    lead = await admin.add_lead()
    await admin.db.execute(
        "INSERT INTO lead_note (id, lead_id, author, body)"
        " SELECT gen_random_uuid(), $1, 'ann', 'x' FROM generate_series(2, $2)",
        lead.lead_id,
        NOTES_MAX,
    )
    await add_note(admin, lead.lead_id, "the last")
    response = await admin.client.post(url_of(lead.lead_id), json={"text": "one more"})
    assert response.status_code == 409


async def test_a_note_belongs_to_its_lead_and_needs_one(admin: Admin) -> None:
    lead, other = await admin.add_lead(), await admin.add_lead()
    note = await add_note(admin, lead.lead_id, "Mine.")
    assert (await admin.client.delete(url_of(other.lead_id, note))).status_code == 404
    await admin.get(url_of(uuid4()), 404)
    response = await admin.client.post(url_of(uuid4()), json={"text": "Whose?"})
    assert response.status_code == 404


async def test_notes_are_exported_and_erased_with_the_person(admin: Admin) -> None:
    lead, other = await admin.add_lead(), await admin.add_lead(email="other@example.com")
    note = await add_note(admin, lead.lead_id, SECRET)
    kept = await add_note(admin, other.lead_id, "Stays.")
    assert (await admin.get(f"/admin/leads/{lead.lead_id}/export"))["notes"] == [note]
    await admin.request("DELETE", f"/admin/leads/{lead.lead_id}")
    rows = await admin.db.fetch("SELECT id::text FROM lead_note")
    assert [row["id"] for row in rows] == [kept["id"]]
    assert (await admin.get(url_of(lead.lead_id)))["notes"] == []
    response = await admin.client.post(url_of(lead.lead_id), json={"text": SECRET})
    assert response.status_code == 409


async def test_a_note_that_is_written_during_an_erasure_does_not_outlive_it(admin: Admin) -> None:
    lead = await admin.add_lead()
    for _ in range(3):
        writing = [admin.client.post(url_of(lead.lead_id), json={"text": SECRET}) for _ in range(5)]
        erasing = admin.client.delete(f"/admin/leads/{lead.lead_id}")
        answers = await asyncio.gather(*writing[:2], erasing, *writing[2:])
        assert {answer.status_code for answer in answers} <= {200, 201, 409}
        assert await admin.db.fetchval("SELECT count(*) FROM lead_note") == 0


async def test_the_field_notes_works_as_before(admin: Admin) -> None:
    lead = await admin.add_lead()
    await add_note(admin, lead.lead_id, "A note.")
    await admin.edit_lead(lead.lead_id, notes="From the CRM: prefers zebras.")
    details = await admin.get(f"/admin/leads/{lead.lead_id}")
    assert details["lead"]["notes"] == "From the CRM: prefers zebras."
    assert [note["text"] for note in details["notes"]] == ["A note."]
    assert (await admin.get("/admin/leads", q="zebras"))["total"] == 1
    assert "prefers zebras" in (await admin.client.get("/admin/leads/export.csv")).text
