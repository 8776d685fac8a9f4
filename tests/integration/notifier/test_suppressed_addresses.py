"""Addresses on the suppression list get no confirmation."""

from typing import Any

from runtime.database.postgres import open_pool, transaction
from runtime.database.suppressed_addresses import SuppressedAddresses
from runtime.mailbox import mailbox_key
from runtime.settings import Kafka, Postgres
from services.notifier.settings import Settings
from tests.support.factories import lead, post
from tests.support.mail.smtp import SmtpServer
from tests.support.services.notifier import (
    add_queue_row,
    notifier,
    publish_retry,
    wait_for_states,
)


async def suppress(postgres: Postgres, address: str, site: str | None, reason: Any) -> None:
    async with open_pool(postgres, "test") as pool, transaction(pool) as connection:
        await SuppressedAddresses().add(connection, mailbox_key(address), site, reason, actor="test")


async def test_a_suppressed_address_gets_no_confirmation(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    gone, annoyed, elsewhere = lead(), lead(site="studio"), lead(site="shop")
    elsewhere = elsewhere.model_copy(update={"email": annoyed.email})
    await suppress(postgres, (gone.email or "").upper(), None, "bounced")
    await suppress(postgres, annoyed.email or "", "studio", "complained")
    async with notifier(settings):
        await post(kafka, gone, annoyed, elsewhere)
        for each in (gone, annoyed):
            await wait_for_states(db, each, "suppressed", "sent")
        await wait_for_states(db, elsewhere)
        rows = await db.fetch("SELECT reason FROM email_delivery WHERE state = 'suppressed' ORDER BY reason")
        assert [row["reason"] for row in rows] == [
            "an earlier email to this address bounced",
            "this address reported an earlier email as spam",
        ]
        await db.execute("UPDATE suppressed_address SET expires_at = now()")
        queue_id = await add_queue_row(db, gone, "welcome")
        await publish_retry(kafka, gone, "welcome", queue_id)
        await wait_for_states(db, gone)


async def test_a_retry_of_a_bounced_email_needs_another_address(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    mistyped = lead()
    async with notifier(settings):
        await post(kafka, mistyped)
        await wait_for_states(db, mistyped)
        await db.execute("UPDATE email_delivery SET state = 'bounced' WHERE kind = 'welcome'")
        await suppress(postgres, mistyped.email or "", None, "bounced")
        await publish_retry(kafka, mistyped, "welcome", await add_queue_row(db, mistyped, "welcome"))
        await wait_for_states(db, mistyped, "suppressed", "sent")
        corrected = mistyped.model_copy(update={"email": f"right-{mistyped.email}"})
        await publish_retry(kafka, corrected, "welcome")
        await wait_for_states(db, corrected)
    assert [mail.recipients for mail in smtp.mails if mail.kind == "welcome"] == [
        [mistyped.email],
        [corrected.email],
    ]
