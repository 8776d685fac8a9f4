"""What admins do with people's data, on a real PostgreSQL: edit, export, erase."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from contracts.leads import LeadReceived
from runtime.database.ledger import Ledger
from runtime.database.postgres import open_pool
from runtime.failures import DependencyUnavailable
from runtime.settings import Kafka, Postgres
from services.admin.schemas.filters import ExportFilter
from services.admin.store import personal_data
from services.notifier.mail.message import Identity
from services.notifier.store import Store
from tests.support.admin import Admin, running_admin
from tests.support.factories import lead as make_lead
from tests.support.notifier import delivery
from tests.support.people import dump
from tests.support.stack import Database, Stack
from tests.support.wait import eventually


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    async with running_admin(postgres, kafka) as running:
        yield running


async def edit(admin: Admin, lead_id: UUID, status: int = 200, /, **body: Any) -> Any:
    answer = await admin.client.patch(f"/admin/leads/{lead_id}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def parked(which: LeadReceived, **changes: Any) -> dict[str, Any]:
    """A queue row of a lead that the persister could not store."""
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


async def test_an_edit_changes_the_lead_keeps_the_first_original_and_is_audited_without_values(
    admin: Admin,
) -> None:
    lead = await admin.add_lead(email="adda@example.com")
    first = await edit(admin, lead.lead_id, email="ada@example.com", company=" Engines ", notes="call\nher")
    assert first["changed"] == ["email", "company", "notes"]
    assert (first["lead"]["email"], first["lead"]["company"]) == ("ada@example.com", "Engines")
    again = await edit(admin, lead.lead_id, name="Ada King", assignee="bob", company="")
    assert again["lead"]["company"] is None
    row = await admin.db.fetchrow("SELECT original, body_sha256 FROM lead_inbox")
    assert row
    assert json.loads(row["original"])["email"] == "adda@example.com"
    assert json.loads(row["original"])["name"] == "Ada Lovelace"
    assert row["body_sha256"] == lead.body_sha256
    told = await admin.db.fetch("SELECT event, actor, details_json FROM audit_log ORDER BY id")
    assert [(each["event"], each["actor"], json.loads(each["details_json"])) for each in told] == [
        ("lead.edited", "ann", {"fields": ["email", "company", "notes"]}),
        ("lead.edited", "ann", {"fields": ["name", "company", "assignee"]}),
    ]


async def test_the_second_of_two_editors_gets_a_conflict(admin: Admin) -> None:
    lead = await admin.add_lead()
    seen = (await admin.get(f"/admin/leads/{lead.lead_id}"))["lead"]["updated_at"]
    await edit(admin, lead.lead_id, notes="mine", expected_updated_at=seen)
    await edit(admin, lead.lead_id, 409, notes="yours", expected_updated_at=seen)
    assert await admin.db.fetchval("SELECT notes FROM lead_inbox") == "mine"


@pytest.mark.parametrize(
    "body",
    [
        {"email": "no address"},
        {"name": ""},
        {"message": None},
        {"message": "x" * 10_001},
        {"notes": "nul\x00"},
        {"status": "won"},
    ],
)
async def test_what_the_site_could_not_have_sent_is_refused(admin: Admin, body: dict[str, Any]) -> None:
    lead = await admin.add_lead()
    await edit(admin, lead.lead_id, 422, **body)
    assert await admin.db.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_nothing_different_changes_nothing_and_says_so(admin: Admin) -> None:
    lead = await admin.add_lead()
    answer = await edit(admin, lead.lead_id, name=lead.name)
    assert (answer["changed"], await admin.db.fetchval("SELECT count(*) FROM audit_log")) == ([], 0)


async def test_mails_that_may_be_tried_again_get_the_new_fields_and_settled_ones_do_not(admin: Admin) -> None:
    lead = await admin.add_lead()
    payload = lead.model_dump_json().encode()
    open_id = await admin.add_queue_row(lead_id=lead.lead_id, payload=payload)
    await admin.add_queue_row(
        lead_id=lead.lead_id, kind="admin_alert", state="resolved", payload=None, next_attempt_at=None
    )
    answer = await edit(admin, lead.lead_id, email="new@example.com")
    assert answer["queue_ids"] == [str(open_id)]
    row = await admin.db.fetchrow("SELECT payload, original_payload FROM replay_queue WHERE id = $1", open_id)
    assert row
    assert LeadReceived.model_validate_json(row["payload"]).email == "new@example.com"
    assert row["original_payload"] == payload


async def test_a_parked_lead_is_edited_in_its_record_and_the_original_record_kept(admin: Admin) -> None:
    lead = make_lead(email="typo@example.com")
    queue_id = await admin.add_queue_row(**parked(lead))
    answer = await edit(admin, lead.lead_id, email="right@example.com")
    assert (answer["lead"], answer["queue_ids"]) == (None, [str(queue_id)])
    row = await admin.db.fetchrow("SELECT payload, original_payload FROM replay_queue")
    assert row
    assert LeadReceived.model_validate_json(row["payload"]) == lead.model_copy(
        update={"email": "right@example.com"}
    )
    assert row["original_payload"] == lead.model_dump_json().encode()
    assert "typo" not in str(await admin.db.fetch("SELECT details_json FROM audit_log"))
    await edit(admin, lead.lead_id, 409, assignee="bob")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"payload": b"\xff{"}, "cannot be decoded"),
        ({"payload": None}, "no longer stored"),
        ({"state": "replaying", "next_attempt_at": "now"}, "being stored"),
    ],
)
async def test_a_record_that_cannot_be_edited_is_refused_with_the_reason(
    admin: Admin, changes: dict[str, Any], said: str
) -> None:
    lead = make_lead()
    if "next_attempt_at" in changes:
        changes = changes | {"next_attempt_at": lead.occurred_at}
    await admin.add_queue_row(**parked(lead, **changes))
    assert said in (await edit(admin, lead.lead_id, 409, name="Ada"))["detail"]


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


async def test_an_export_holds_what_matches_is_safe_in_a_spreadsheet_and_audited_by_kind(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "EXPORT_CHUNK", 2)
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
    told = await admin.db.fetchrow("SELECT event, details_json FROM audit_log")
    assert told
    assert (told["event"], json.loads(told["details_json"])) == (
        "lead.exported",
        {"what": "csv", "filters": ["words"], "count": 5},
    )


async def test_a_reader_that_stops_holds_no_transaction(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "EXPORT_CHUNK", 1)
    for _ in range(3):
        await admin.add_lead()
    pieces = await admin.app.state.adapters.personal_data.export_leads(ExportFilter(), "ann")
    await anext(pieces)
    await anext(pieces)
    held = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fastcore-admin' AND state <> 'idle'"
    )
    assert await admin.db.fetchval(held + " AND datname = current_database()") == 0


async def columns(admin: Admin, table: str) -> set[str]:
    """Name the columns of a table: an export must not forget one that a migration adds."""
    rows = await admin.db.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        table,
    )
    return {row["attname"] for row in rows}


async def test_a_persons_data_is_everything_that_we_hold_and_names_the_other_leads(admin: Admin) -> None:
    lead, other = await admin.add_lead(email="ada@example.com"), await admin.add_lead(email="Ada@example.com")
    await edit(admin, lead.lead_id, name="Ada King")
    await admin.add_email(lead.lead_id, "welcome", "sent")
    await admin.add_queue_row(lead_id=lead.lead_id, payload=lead.model_dump_json().encode())
    answer = await admin.client.get(f"/admin/leads/{lead.lead_id}/export")
    assert answer.status_code == 200
    assert "attachment" in answer.headers["content-disposition"]
    data = answer.json()
    assert data["lead"]["original"]["name"] == "Ada Lovelace"
    # `words`, what it is searched by, is no more of the person.
    assert data["lead"].keys() == await columns(admin, "lead_inbox") - {"words"}
    assert data["emails"][0].keys() == await columns(admin, "email_delivery")
    assert [mail["kind"] for mail in data["emails"]] == ["welcome"]
    assert data["queue"][0]["payload"]["email"] == "ada@example.com"
    assert data["other_leads"] == [str(other.lead_id)]
    assert [entry["event"] for entry in data["audit"]] == ["lead.edited", "lead.exported"]
    assert {each["topic"] for each in data["kafka"]} >= {"leads.received.v1", "leads.dead.v1"}


async def test_an_erased_lead_is_nowhere_in_the_database_and_its_trail_stays(admin: Admin) -> None:
    lead = await admin.add_lead(
        name="Grace Hopper", email="grace@navy.example", phone="+1 555", extra={"boss": "Grace Hopper"},
        source={"page_url": "https://x.example/?email=grace@navy.example"},
    )  # fmt: skip
    await admin.db.execute(
        "INSERT INTO email_delivery (lead_id, kind, state, message_id, recipient, smtp_answer)"
        " VALUES ($1, 'welcome', 'waiting', 'm', 'grace@navy.example', '451 <grace@navy.example> later')",
        lead.lead_id,
    )
    await admin.add_queue_row(
        lead_id=lead.lead_id,
        payload=lead.model_dump_json().encode(),
        headers=json.dumps({"correlation_id": "grace@navy.example"}),
    )
    conflict = lead.model_copy(update={"message": "Grace Hopper again"})
    await admin.add_queue_row(**parked(conflict, by_origin=True, reason="conflict"))
    await edit(admin, lead.lead_id, name="Grace H.", notes="Grace Hopper is nice", assignee="Grace Hopper")
    assert "grace" in await dump(admin.db)
    answer = await admin.ask("DELETE", f"/admin/leads/{lead.lead_id}")
    assert (answer["already"], answer["mails_emptied"], answer["queue_rows_emptied"]) == (False, 1, 2)
    assert answer["kafka"]
    left = await dump(admin.db)
    assert "grace" not in left
    assert "navy.example" not in left
    assert [row["state"] for row in await admin.db.fetch("SELECT state FROM replay_queue")] == [
        "archived"
    ] * 2
    assert await admin.db.fetchval("SELECT state FROM email_delivery") == "suppressed"
    shown = await admin.get(f"/admin/leads/{lead.lead_id}")
    assert shown["lead"]["status"] == "erased"
    assert shown["timeline"][-1]["title"].startswith("ann deleted the personal data.")
    again = await admin.ask("DELETE", f"/admin/leads/{lead.lead_id}")
    assert (again["already"], again["erased_at"]) == (True, answer["erased_at"])
    assert await admin.db.fetchval("SELECT count(*) FROM audit_log WHERE event = 'lead.erased'") == 1
    await edit(admin, lead.lead_id, 409, name="Back")


async def test_a_lead_that_was_never_stored_is_erased_and_the_books_balance(admin: Admin) -> None:
    lead = make_lead(email="parked@example.com")
    await admin.add_queue_row(**parked(lead))
    answer = await admin.ask("DELETE", f"/admin/leads/{lead.lead_id}")
    assert (answer["was_stored"], answer["queue_rows_emptied"]) == (False, 1)
    assert "parked@example.com" not in await dump(admin.db)
    census = await admin.app.state.adapters.system.count_queue()
    (leads,) = [each for each in census.books.identities if each.name == "leads"]
    assert (leads.books, leads.rows) == (0, 0)
    assert (await admin.get(f"/admin/leads/{lead.lead_id}"))["lead"]["status"] == "erased"


async def test_a_lead_that_nobody_knows_is_not_erased(admin: Admin) -> None:
    await admin.ask("DELETE", f"/admin/leads/{uuid4()}", 404)
    await admin.client.patch(f"/admin/leads/{uuid4()}", json={"name": "x"})
    assert await admin.db.fetchval("SELECT count(*) FROM lead_inbox") == 0


async def test_every_lead_of_an_address_is_erased_in_one_request(admin: Admin) -> None:
    stored = await admin.add_lead(email="Ada@example.com")
    edited = await admin.add_lead(email="ada@example.com")
    await edit(admin, edited.lead_id, email="other@example.com")
    waiting = make_lead(email="ada@example.com")
    await admin.add_queue_row(**parked(waiting))
    stranger = await admin.add_lead(email="ada@example.com.au")
    answer = await admin.client.post("/admin/leads/erase", json={"email": "ada@example.com"})
    assert answer.status_code == 200, answer.text
    assert {each["lead_id"] for each in answer.json()["erased"]} == {
        str(each.lead_id) for each in (stored, edited, waiting)
    }
    kept = await admin.db.fetchval("SELECT email FROM lead_inbox WHERE status <> 'erased'")
    assert kept == stranger.email


async def test_regression_a_person_is_found_however_the_address_was_written(admin: Admin) -> None:
    edited = await admin.add_lead(email="Ada.Lovelace@example.com")
    await edit(admin, edited.lead_id, email="other@example.com")
    waiting = make_lead(email="Ada.LOVELACE@example.com")
    await admin.add_queue_row(**parked(waiting))
    answer = await admin.client.post("/admin/leads/erase", json={"email": "ada.lovelace@example.com"})
    assert {each["lead_id"] for each in answer.json()["erased"]} == {
        str(each.lead_id) for each in (edited, waiting)
    }


async def test_regression_no_mail_begins_that_waited_for_its_leads_erasure(
    admin: Admin, database: Database
) -> None:
    owner, mails = uuid4(), [delivery("welcome", of=await admin.add_lead()) for _ in range(2)]
    for mail in mails:
        await admin.db.execute(
            "INSERT INTO email_delivery (lead_id, kind, state, owner, lease_until, recipient, message_id)"
            " VALUES ($1, 'welcome', 'reserved', $2, now() + interval '1 minute', 'ada@example.com', 'm')",
            mail.lead.lead_id,
            owner,
        )
    async with open_pool(Postgres.model_validate({"url": database.service}), "test") as pool:
        identity = Identity("hello@fast.example", "FAST", ("boss@fast.example",))
        ledger = cast("Ledger", None)  # of a mail that begins the books say nothing
        store = Store(
            pool, ledger, owner, identity, lease_seconds=60, welcomes_per_day=3, welcomes_per_site_and_hour=9
        )
        erasing = admin.db.transaction()
        await erasing.start()
        await admin.db.execute("SELECT erase_lead($1, 'alice')", mails[0].lead.lead_id)
        # In one statement with another's.
        beginning = asyncio.gather(*map(store.begin_sending, mails), return_exceptions=True)

        async def waits() -> bool:
            return bool(await pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))

        await eventually(waits, what="the notifier")
        await erasing.commit()
        erased, other = await beginning
    assert isinstance(erased, DependencyUnavailable)
    assert other is None
    states = await admin.db.fetch("SELECT lead_id, state FROM email_delivery")
    assert {row["lead_id"]: row["state"] for row in states} == {
        mails[0].lead.lead_id: "reserved",
        mails[1].lead.lead_id: "sending",
    }


async def test_the_api_shows_a_person_s_leads_before_they_are_erased(admin: Admin) -> None:
    lead = await admin.add_lead(email="ada@example.com", site="shop")
    await admin.add_email(lead.lead_id, "welcome", "sent")
    found = (await admin.client.post("/admin/leads/person", json={"email": "ADA@example.com"})).json()
    assert [(each["lead_id"], each["site"], each["emails"]) for each in found["leads"]] == [
        (str(lead.lead_id), "shop", 1)
    ]
    await admin.ask("DELETE", f"/admin/leads/{lead.lead_id}")
    again = await admin.client.post("/admin/leads/person", json={"email": "ada@example.com"})
    assert again.json() == {"leads": [], "records": []}
