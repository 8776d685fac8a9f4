"""Reads the rows and counts that `plan_batch` needs. Locks the rows of the mails and of the mailboxes."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.leads import LeadReceived
from runtime.database.postgres import Connection, load_queries
from runtime.database.suppressed_addresses import SuppressedAddresses
from runtime.mailbox import mailbox_key
from services.notifier.alert_collection import AlertCollection
from services.notifier.deliveries import DeliveryRow, Key
from services.notifier.delivery_values import storable
from services.notifier.welcome_limits import WelcomeCounts, site_hour

_SQL: Any = load_queries(Path(__file__).with_name("batch_data.sql"))


async def load_deliveries(connection: Connection, lead_ids: Collection[UUID]) -> dict[Key, DeliveryRow]:
    """Lock the rows of these leads in `email_delivery`; return them by lead id and kind of mail."""
    return {
        (row["lead_id"], row["kind"]): DeliveryRow(
            row["state"], row["owner"], row["lease_seconds"], row["settled_by"], row["in_digest"]
        )
        async for row in _SQL.lock_rows(connection, lead_ids=list(lead_ids))
    }


async def load_statuses(connection: Connection, lead_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the stored status of each lead, by lead id. Leads that are not stored yet are left out."""
    return {row["id"]: row["status"] async for row in _SQL.statuses(connection, lead_ids=list(lead_ids))}


async def count_welcomes(
    connection: Connection,
    leads: Sequence[LeadReceived],
    counts: WelcomeCounts,
    suppressed: SuppressedAddresses,
) -> None:
    """Count the recent welcomes of each lead's mailbox and of each lead's site, and add them to `counts`.

    Also adds the entries of the suppression list for these mailboxes.

    Locks the mailboxes until the transaction ends, so that the limit of a mailbox is exact. Sites are not
    locked, so that processes do not wait for each other. Each process may therefore exceed the limit of a
    site by one batch.
    """
    mailboxes = sorted({storable(mailbox_key(lead.email)) for lead in leads if lead.email})
    async for _ in _SQL.lock_mailboxes(connection, mailboxes=mailboxes):
        pass  # the query runs while its rows are read
    async for row in _SQL.recent_welcomes(connection, mailboxes=mailboxes):
        counts.mailboxes.setdefault(row["mailbox"], set()).add(row["lead_id"])
    counts.suppressed = await suppressed.find(connection, mailboxes)
    site_hours = {site_hour(lead) for lead in leads}
    sites, hours = [storable(site) for site, _ in site_hours], [hour for _, hour in site_hours]
    async for row in _SQL.welcomes_of_sites(connection, sites=sites, hours=hours):
        counts.sites[row["site"], row["hour"]] = row["welcomes"]


async def count_alerts(
    connection: Connection, leads: Sequence[LeadReceived], collection: AlertCollection
) -> None:
    """Count the recent alerts of each lead's site and recipients, and add them to `collection`.

    Nothing is locked, so that processes do not wait for each other. Each process may therefore exceed the
    limit by one batch.
    """
    groups = {collection.group_of(lead) for lead in leads}
    if not groups or not collection.limit:
        return
    sites, recipients = [site for site, _ in groups], [recipient for _, recipient in groups]
    async for row in _SQL.recent_alerts(
        connection, sites=sites, recipients=recipients, seconds=collection.seconds, limit=collection.limit
    ):
        collection.recent[row["site"], row["recipient"]] = row["alerts"]
        if row["due_at"]:
            collection.next_digests[row["site"]] = row["due_at"]
