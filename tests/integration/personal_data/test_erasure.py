"""Erasure of leads and persons on a real PostgreSQL."""

import asyncio
import json
from typing import cast
from uuid import uuid4

from runtime.database.ledger import Ledger
from runtime.database.postgres import open_pool
from runtime.failures import DependencyUnavailable
from runtime.settings import Postgres
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity
from services.notifier.store import Store
from tests.support.database.database_dump import dump_database
from tests.support.factories import lead as make_lead
from tests.support.services.admin import Admin, queued_row
from tests.support.services.notifier import delivery
from tests.support.stack import Database
from tests.support.wait import eventually


async def test_an_erasure_leaves_the_audit_trail_and_no_personal_data(admin: Admin) -> None:
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
    await admin.add_queue_row(**queued_row(conflict, by_origin=True, reason="conflict"))
    await admin.edit_lead(
        lead.lead_id, name="Grace H.", notes="Grace Hopper is nice", assignee="Grace Hopper"
    )
    assert "grace" in await dump_database(admin.db)
    answer = await admin.request("DELETE", f"/admin/leads/{lead.lead_id}")
    assert (answer["already"], answer["mails_emptied"], answer["queue_rows_emptied"]) == (False, 1, 2)
    assert answer["kafka"]
    left = await dump_database(admin.db)
    assert "grace" not in left
    assert "navy.example" not in left
    assert [row["state"] for row in await admin.db.fetch("SELECT state FROM replay_queue")] == [
        "archived"
    ] * 2
    assert await admin.db.fetchval("SELECT state FROM email_delivery") == "suppressed"
    shown = await admin.get(f"/admin/leads/{lead.lead_id}")
    assert shown["lead"]["status"] == "erased"
    assert shown["timeline"][-1]["title"].startswith("ann deleted the personal data.")
    again = await admin.request("DELETE", f"/admin/leads/{lead.lead_id}")
    assert (again["already"], again["erased_at"]) == (True, answer["erased_at"])
    assert await admin.db.fetchval("SELECT count(*) FROM audit_log WHERE event = 'lead.erased'") == 1
    await admin.edit_lead(lead.lead_id, 409, name="Back")


async def test_an_unstored_lead_is_erased_and_the_ledger_balances(admin: Admin) -> None:
    lead = make_lead(email="queued@example.com")
    await admin.add_queue_row(**queued_row(lead))
    answer = await admin.request("DELETE", f"/admin/leads/{lead.lead_id}")
    assert (answer["was_stored"], answer["queue_rows_emptied"]) == (False, 1)
    assert "queued@example.com" not in await dump_database(admin.db)
    counts = await admin.app.state.adapters.system.count_queue()
    (leads,) = [each for each in counts.books.identities if each.name == "leads"]
    assert (leads.books, leads.rows) == (0, 0)
    assert (await admin.get(f"/admin/leads/{lead.lead_id}"))["lead"]["status"] == "erased"


async def test_an_unknown_lead_is_not_erased(admin: Admin) -> None:
    await admin.request("DELETE", f"/admin/leads/{uuid4()}", 404)
    await admin.client.patch(f"/admin/leads/{uuid4()}", json={"name": "x"})
    assert await admin.db.fetchval("SELECT count(*) FROM lead_inbox") == 0


async def test_erasing_an_address_erases_all_its_leads(admin: Admin) -> None:
    stored = await admin.add_lead(email="Ada@example.com")
    edited = await admin.add_lead(email="ada@example.com")
    await admin.edit_lead(edited.lead_id, email="other@example.com")
    waiting = make_lead(email="ada@example.com")
    await admin.add_queue_row(**queued_row(waiting))
    stranger = await admin.add_lead(email="ada@example.com.au")
    answer = await admin.client.post("/admin/leads/erase", json={"email": "ada@example.com"})
    assert answer.status_code == 200, answer.text
    assert {each["lead_id"] for each in answer.json()["erased"]} == {
        str(each.lead_id) for each in (stored, edited, waiting)
    }
    remaining = await admin.db.fetchval("SELECT email FROM lead_inbox WHERE status <> 'erased'")
    assert remaining == stranger.email


async def test_regression_an_address_is_found_in_any_case(admin: Admin) -> None:
    edited = await admin.add_lead(email="Ada.Lovelace@example.com")
    await admin.edit_lead(edited.lead_id, email="other@example.com")
    waiting = make_lead(email="Ada.LOVELACE@example.com")
    await admin.add_queue_row(**queued_row(waiting))
    answer = await admin.client.post("/admin/leads/erase", json={"email": "ada.lovelace@example.com"})
    assert {each["lead_id"] for each in answer.json()["erased"]} == {
        str(each.lead_id) for each in (edited, waiting)
    }


async def test_regression_no_email_starts_after_its_lead_s_erasure(admin: Admin, database: Database) -> None:
    owner, mails = uuid4(), [delivery("welcome", of=await admin.add_lead()) for _ in range(2)]
    for mail in mails:
        await admin.db.execute(
            "INSERT INTO email_delivery (lead_id, kind, state, owner, lease_until, recipient, message_id)"
            " VALUES ($1, 'welcome', 'reserved', $2, now() + interval '1 minute', 'ada@example.com', 'm')",
            mail.lead.lead_id,
            owner,
        )
    async with open_pool(Postgres.model_validate({"url": database.service}), "test") as pool:
        identities = Identities(Identity("hello@fast.example", "FAST", ("boss@fast.example",)))
        ledger = cast("Ledger", None)  # not used: starting an email is not counted
        store = Store(
            pool,
            ledger,
            owner,
            identities,
            lease_seconds=60,
            welcomes_per_day=3,
            welcomes_per_site_and_hour=9,
        )
        erasing = admin.db.transaction()
        await erasing.start()
        await admin.db.execute("SELECT erase_lead($1, 'alice')", mails[0].lead.lead_id)
        # One statement starts both emails.
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


async def test_a_person_s_leads_are_listed_before_the_erasure(admin: Admin) -> None:
    lead = await admin.add_lead(email="ada@example.com", site="shop")
    await admin.add_email(lead.lead_id, "welcome", "sent")
    found = (await admin.client.post("/admin/leads/person", json={"email": "ADA@example.com"})).json()
    assert [(each["lead_id"], each["site"], each["emails"]) for each in found["leads"]] == [
        (str(lead.lead_id), "shop", 1)
    ]
    await admin.request("DELETE", f"/admin/leads/{lead.lead_id}")
    again = await admin.client.post("/admin/leads/person", json={"email": "ada@example.com"})
    assert again.json() == {"leads": [], "records": []}


async def test_erasing_a_lead_without_an_address_keeps_another_persons_record(admin: Admin) -> None:
    lead = await admin.add_lead(name=None, email=None, extra={"note": "secret of this lead"})
    bob = lead.model_copy(update={"name": "Bob", "email": "bob@example.com", "extra": {}})
    nameless = lead.model_copy(update={"message": "secret of this lead, again"})
    for offset, conflict in enumerate((bob, nameless)):
        row = queued_row(conflict, by_origin=True, reason="conflict", origin_offset=offset)
        await admin.add_queue_row(**row)
    await admin.request("DELETE", f"/admin/leads/{lead.lead_id}")
    left = await dump_database(admin.db)
    assert "bob@example.com" in left or b"bob@example.com".hex() in left
    assert "secret of this lead" not in left
