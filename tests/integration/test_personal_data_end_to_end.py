"""A person's way through all consumers, on real parts: corrected, mailed, erased, and never revived."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from services.notifier.app import create_app as notifier_app
from services.notifier.settings import Settings as NotifierSettings
from services.persister.app import create_app as persister_app
from services.persister.settings import Settings as PersisterSettings
from tests.support.admin import Admin, running_admin
from tests.support.database_dump import dump_database
from tests.support.factories import lead, post
from tests.support.flusher import flusher
from tests.support.smtp import HANG, SmtpServer, smtp_server
from tests.support.wait import eventually


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    async with smtp_server() as server:
        yield server


@pytest.fixture
async def admin(kafka: Kafka, postgres: Postgres, smtp: SmtpServer) -> AsyncIterator[Admin]:
    """The four services behind the gateway, in this process; the mail server has 2 s to answer."""
    notifier = NotifierSettings.model_validate(
        {
            "kafka": kafka,
            "postgres": postgres,
            "smtp": {"host": smtp.host, "port": smtp.port, "tls": False},
            "from_email": "hello@fast.example",
            "admin_email": "boss@fast.example",
            "envelope_timeout_seconds": 8.0,
            "answer_timeout_seconds": 2.0,
            "mail_timeout_seconds": 10.0,
            "lease_seconds": 15.0,
        }
    )
    async with contextlib.AsyncExitStack() as opened:
        for app in (persister_app(PersisterSettings(kafka=kafka, postgres=postgres)), notifier_app(notifier)):
            await opened.enter_async_context(app.router.lifespan_context(app))
        await opened.enter_async_context(flusher(kafka, postgres))
        yield await opened.enter_async_context(running_admin(postgres, kafka))


async def shown(admin: Admin, which: LeadReceived) -> Any:
    answer = await admin.client.get(f"/admin/leads/{which.lead_id}")
    return (
        answer.json()
        if answer.status_code == 200
        else {"timeline": [], "emails": [], "queue": [], "lead": None}
    )


async def told(admin: Admin, which: LeadReceived, *events: str) -> Any:
    """Wait until a lead's timeline tells all of these; return what is shown of it."""
    return await eventually(
        lambda: shown(admin, which),
        until=lambda found: {event["event"] for event in found["timeline"]} >= set(events),
        seconds=40,
        what=f"{events}",
    )


async def balanced(admin: Admin) -> bool:
    books = (await admin.app.state.adapters.system.count_queue()).books
    return bool(books.balanced)


async def counted(db: Any) -> int:
    return int(await db.fetchval("SELECT coalesce(sum(next_offset - base_offset), 0) FROM partition_ledger"))


async def test_a_corrected_address_is_mailed_and_then_erased(
    kafka: Kafka, admin: Admin, smtp: SmtpServer
) -> None:
    smtp.always["rcpt:grace@typo.example"] = "550 5.1.1 <grace@typo.example> unknown"
    sent = lead(name="Grace Hopper", email="grace@typo.example")
    await post(kafka, sent)
    await told(admin, sent, "lead.stored", "lead.dead", "email.failed", "email.sent")
    path = f"/admin/leads/{sent.lead_id}"
    edited = await admin.client.patch(path, json={"email": "grace@navy.example"})
    assert len(edited.json()["queue_ids"]) == 1, edited.text
    await admin.ask("POST", f"{path}/emails/welcome/resend", 202)
    await eventually(
        lambda: shown(admin, sent), until=lambda found: welcome(found)["state"] == "sent", seconds=40
    )
    found = await shown(admin, sent)
    (mail,) = smtp.of(sent.lead_id, "welcome")
    assert mail.recipients == ["grace@navy.example"]
    assert welcome(found)["recipient"] == "grace@navy.example"
    way = [event["event"] for event in found["timeline"]]
    assert way[:2] == ["lead.accepted", "lead.published"]
    assert way[-3:] == ["lead.edited", "lead.replayed", "email.sent"]
    assert {"lead.dead", "email.sent"} <= set(way[:-3])  # the alert's, in either order
    assert [e["since_previous_ms"] >= 0 for e in found["timeline"]] == [True] * len(way)
    assert found["timeline"][-2]["title"] == "Retried the confirmation email: requested by ann."
    assert found["timeline"][-1]["details"]["smtp_answer"] == "2.0.0 OK"

    await admin.ask("DELETE", path)
    before = await counted(admin.db)
    await post(kafka, sent)  # as Kafka may deliver it again
    await eventually(
        lambda: counted(admin.db), until=lambda count: count >= before + 2, what="the redelivery"
    )
    left = await dump_database(admin.db)
    assert "grace" not in left
    assert "navy.example" not in left
    assert await balanced(admin)
    assert [event["event"] for event in (await shown(admin, sent))["timeline"]] == [*way, "lead.erased"]


def welcome(found: Any) -> Any:
    return next(mail for mail in found["emails"] if mail["kind"] == "welcome")


async def test_an_erasure_during_sending_leaves_no_personal_data(
    kafka: Kafka, admin: Admin, smtp: SmtpServer
) -> None:
    smtp.then("body", HANG, HANG)
    sent = lead(name="Grace Hopper", email="grace@navy.example")
    await post(kafka, sent)
    await told(admin, sent, "lead.stored")

    async def in_hand() -> int:
        return smtp.seen["body"]

    await eventually(in_hand, until=lambda bodies: bodies == 2, what="both mails in hand")
    await admin.ask("DELETE", f"/admin/leads/{sent.lead_id}")
    # Nobody answered: the mails are unknown, and their failures reach a queue that must forget the lead.
    rows = await eventually(
        lambda: admin.db.fetch("SELECT state, payload FROM replay_queue"),
        until=lambda found: len(found) == 2,
        what="both failures",
        seconds=40,
    )
    assert [tuple(row) for row in rows] == [("archived", None)] * 2
    await told(admin, sent, "email.unknown", "lead.erased")
    states = "SELECT state, recipient, smtp_answer FROM email_delivery"
    settled = await eventually(
        lambda: admin.db.fetch(states), until=lambda found: {row["state"] for row in found} == {"unknown"}
    )
    assert {(row["recipient"], row["smtp_answer"]) for row in settled} == {(None, None)}
    left = await dump_database(admin.db)
    assert "grace" not in left
    assert "navy.example" not in left
    assert await balanced(admin)


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
        # No flusher sends it before it is erased.
        state="dead",
        next_attempt_at=None,
    )
    await admin.ask("DELETE", f"/admin/leads/{sent.lead_id}")
    await post(kafka, sent)
    await told(admin, sent, "email.suppressed")
    await eventually(lambda: counted(admin.db), until=lambda count: count == 2, what="both stages")
    left = await dump_database(admin.db)
    assert "grace" not in left
    assert "navy.example" not in left
    assert await balanced(admin)
    assert smtp.mails == []
