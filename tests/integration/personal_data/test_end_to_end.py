"""A person's data through all services: corrected, mailed, erased, and not restored by a redelivery."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from tests.support.database.database_dump import dump_database
from tests.support.factories import lead, post
from tests.support.mail.smtp import HANG, SmtpServer, smtp_server
from tests.support.services.admin import Admin, running_admin
from tests.support.services.consumer_services import running_consumers
from tests.support.wait import eventually


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    async with smtp_server() as server:
        yield server


@pytest.fixture
async def admin(kafka: Kafka, postgres: Postgres, smtp: SmtpServer) -> AsyncIterator[Admin]:
    """Run the four services behind the gateway; the mail server has 2 s to answer."""
    consumers = running_consumers(
        kafka,
        postgres,
        smtp,
        envelope_timeout_seconds=8.0,
        answer_timeout_seconds=2.0,
        mail_timeout_seconds=10.0,
        lease_seconds=15.0,
    )
    async with consumers, running_admin(postgres, kafka) as running:
        yield running


async def get_lead(admin: Admin, which: LeadReceived) -> Any:
    answer = await admin.client.get(f"/admin/leads/{which.lead_id}")
    return (
        answer.json()
        if answer.status_code == 200
        else {"timeline": [], "emails": [], "queue": [], "lead": None}
    )


async def wait_for_events(admin: Admin, which: LeadReceived, *events: str) -> Any:
    """Wait until a lead's timeline has these events; return the lead."""
    return await eventually(
        lambda: get_lead(admin, which),
        until=lambda found: {event["event"] for event in found["timeline"]} >= set(events),
        seconds=40,
        what=f"{events}",
    )


async def ledger_balances(admin: Admin) -> bool:
    books = (await admin.app.state.adapters.system.count_queue()).books
    return bool(books.balanced)


async def count_ledger(db: Any) -> int:
    return int(await db.fetchval("SELECT coalesce(sum(next_offset - base_offset), 0) FROM partition_ledger"))


async def test_a_corrected_address_is_mailed_and_then_erased(
    kafka: Kafka, admin: Admin, smtp: SmtpServer
) -> None:
    smtp.always["rcpt:grace@typo.example"] = "550 5.1.1 <grace@typo.example> unknown"
    sent = lead(name="Grace Hopper", email="grace@typo.example")
    await post(kafka, sent)
    await wait_for_events(admin, sent, "lead.stored", "lead.dead", "email.failed", "email.sent")
    path = f"/admin/leads/{sent.lead_id}"
    edited = await admin.client.patch(path, json={"email": "grace@navy.example"})
    assert len(edited.json()["queue_ids"]) == 1, edited.text
    await admin.request("POST", f"{path}/emails/welcome/resend", 202)
    await eventually(
        lambda: get_lead(admin, sent), until=lambda found: welcome(found)["state"] == "sent", seconds=40
    )
    found = await get_lead(admin, sent)
    (mail,) = smtp.of(sent.lead_id, "welcome")
    assert mail.recipients == ["grace@navy.example"]
    assert welcome(found)["recipient"] == "grace@navy.example"
    events = [event["event"] for event in found["timeline"]]
    assert events[:2] == ["lead.accepted", "lead.published"]
    assert events[-3:] == ["lead.edited", "lead.replayed", "email.sent"]
    assert {"lead.dead", "email.sent"} <= set(events[:-3])  # those of the notification, in either order
    assert [e["since_previous_ms"] >= 0 for e in found["timeline"]] == [True] * len(events)
    assert found["timeline"][-2]["title"] == "Retried the confirmation email: requested by ann."
    assert found["timeline"][-1]["details"]["smtp_answer"] == "2.0.0 OK"

    await admin.request("DELETE", path)
    before = await count_ledger(admin.db)
    await post(kafka, sent)  # a redelivery
    await eventually(
        lambda: count_ledger(admin.db), until=lambda count: count >= before + 2, what="the redelivery"
    )
    left = await dump_database(admin.db)
    assert "grace" not in left
    assert "navy.example" not in left
    assert await ledger_balances(admin)
    assert [event["event"] for event in (await get_lead(admin, sent))["timeline"]] == [*events, "lead.erased"]


def welcome(found: Any) -> Any:
    return next(mail for mail in found["emails"] if mail["kind"] == "welcome")


async def test_an_erasure_during_sending_leaves_no_personal_data(
    kafka: Kafka, admin: Admin, smtp: SmtpServer
) -> None:
    smtp.then("body", HANG, HANG)
    sent = lead(name="Grace Hopper", email="grace@navy.example")
    await post(kafka, sent)
    await wait_for_events(admin, sent, "lead.stored")

    async def bodies_received() -> int:
        return smtp.seen["body"]

    await eventually(bodies_received, until=lambda bodies: bodies == 2, what="the bodies of both mails")
    await admin.request("DELETE", f"/admin/leads/{sent.lead_id}")
    # Without an answer the emails are unknown. Their failures reach a queue that must not store the lead.
    rows = await eventually(
        lambda: admin.db.fetch("SELECT state, payload FROM replay_queue"),
        until=lambda found: len(found) == 2,
        what="both failures",
        seconds=40,
    )
    assert [tuple(row) for row in rows] == [("archived", None)] * 2
    await wait_for_events(admin, sent, "email.unknown", "lead.erased")
    states = "SELECT state, recipient, smtp_answer FROM email_delivery"
    deliveries = await eventually(
        lambda: admin.db.fetch(states), until=lambda found: {row["state"] for row in found} == {"unknown"}
    )
    assert {(row["recipient"], row["smtp_answer"]) for row in deliveries} == {(None, None)}
    left = await dump_database(admin.db)
    assert "grace" not in left
    assert "navy.example" not in left
    assert await ledger_balances(admin)


async def test_a_lead_erased_before_it_is_stored_stays_erased(
    kafka: Kafka, admin: Admin, smtp: SmtpServer
) -> None:
    sent = lead(name="Grace Hopper", email="grace@navy.example")
    await admin.add_queue_row(
        stage="persister",
        kind="store",
        lead_id=sent.lead_id,
        payload=sent.model_dump_json().encode(),
        made_by="admin",
        # A dead row, so that no flusher sends it before the erasure.
        state="dead",
        next_attempt_at=None,
    )
    await admin.request("DELETE", f"/admin/leads/{sent.lead_id}")
    await post(kafka, sent)
    await wait_for_events(admin, sent, "email.suppressed")
    await eventually(lambda: count_ledger(admin.db), until=lambda count: count == 2, what="both stages")
    left = await dump_database(admin.db)
    assert "grace" not in left
    assert "navy.example" not in left
    assert await ledger_balances(admin)
    assert smtp.mails == []
