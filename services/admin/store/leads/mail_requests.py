"""Asks the notifier to send emails of leads. Each request is a row of the replay queue.

The flusher sends these rows to the notifier immediately.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from contracts.failures import Kind
from contracts.leads import as_received
from runtime.database.postgres import Connection, load_queries

_SQL: Any = load_queries(Path(__file__).with_name("mail_requests.sql"))


async def request_emails(
    connection: Connection, leads: Sequence[Any], kinds: Sequence[Kind], actor: str, reason: str
) -> list[Any]:
    """Request emails of these kinds for each lead. Return `id`, `kind` and `lead_id` of each request.

    `leads` are rows of `lead_inbox` that the transaction of `connection` has locked. Emails that were already
    sent are not requested.
    """
    rows = _SQL.request_mails(
        connection,
        lead_ids=[lead["id"] for lead in leads],
        payloads=[as_received(lead, uuid4()).model_dump_json().encode() for lead in leads],
        kinds=list(kinds),
        actor=actor,
        reason=reason,
        headers={"content-type": "application/json"},
    )
    return [row async for row in rows]
