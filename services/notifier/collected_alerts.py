"""Stores the alerts that wait for a digest, each with the record that requested it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from contracts import headers
from runtime.database.postgres import Connection, load_queries
from services.notifier.deliveries import Delivery, Key
from services.notifier.delivery_values import storable

_SQL: Any = load_queries(Path(__file__).with_name("collected_alerts.sql"))
# The headers of a record from which its failure is published.
_STORED: Final = (
    *headers.PASSED_ON,
    headers.ORIGINAL_TOPIC,
    headers.ORIGINAL_PARTITION,
    headers.ORIGINAL_OFFSET,
    headers.ORIGINAL_TIMESTAMP,
    headers.ORIGINAL_GROUP,
    headers.RETRY_ATTEMPTS,
)


async def add_collected_alerts(
    connection: Connection, deliveries: Sequence[Delivery], due_at: Mapping[Key, datetime]
) -> None:
    """Add alerts to the next digest of their sites, in the caller's transaction.

    `due_at` has the time at which each digest is due. The record is stored because the lead may not be in
    `lead_inbox` yet, and because it is published if the digest fails for good.
    """
    if not deliveries:
        return
    records = [each.record for each in deliveries]
    await _SQL.add_alerts(
        connection,
        lead_ids=[each.lead.lead_id for each in deliveries],
        sites=[storable(each.lead.site) for each in deliveries],
        services=[storable(each.lead.service) for each in deliveries],
        locales=[each.lead.locale and storable(each.lead.locale) for each in deliveries],
        due_ats=[due_at[each.key] for each in deliveries],
        record_ids=[each.record_id for each in deliveries],
        topics=[each.topic for each in records],
        partitions=[each.partition for each in records],
        offsets=[each.offset for each in records],
        timestamps=[each.timestamp for each in records],
        keys=[each.key for each in records],
        payloads=[each.value for each in records],
        headers=[json.dumps(_stored_headers(each)) for each in deliveries],
    )


def _stored_headers(delivery: Delivery) -> dict[str, str]:
    names = [*_STORED, headers.QUEUE_ID] if delivery.queue_id else _STORED
    found = {name: headers.text(delivery.record.headers, name) for name in names}
    return {name: storable(value) for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class StoredRecord:
    """The record that requested an alert. It has the attributes that the publisher of failures reads."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Return the record that a row of `collected_alert` has."""
        return cls(
            row["record_topic"],
            row["record_partition"],
            row["record_offset"],
            row["record_timestamp"],
            row["record_key"],
            row["payload"],
            [(name, value.encode()) for name, value in row["headers"].items()],
        )
