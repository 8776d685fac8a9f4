"""The list of addresses that get no confirmation mail. It holds keyed hashes (digests), never an address."""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from runtime.database.postgres import Connection, load_queries

_SQL: Any = load_queries(Path(__file__).with_name("suppressed_addresses.sql"))

SuppressionReason = Literal["bounced", "complained", "manual"]
# The reasons by site. The key None stands for all sites.
Suppressions = Mapping[str | None, SuppressionReason]


class SuppressedAddresses:
    """Adds entries and finds them. A mailbox is a result of `runtime.mailbox.mailbox_key`.

    The key of the digests is read once. All methods run in the transaction of `connection`.
    """

    def __init__(self) -> None:
        self._key: bytes | None = None

    async def digest(self, connection: Connection, mailbox: str) -> bytes:
        """Return the keyed digest of a mailbox."""
        if self._key is None:
            self._key = await _SQL.digest_key(connection)
        if self._key is None:
            raise LookupError("the table digest_key lacks the row suppressed_address: run migrate")
        return hmac.digest(self._key, mailbox.encode(errors="replace"), hashlib.sha256)

    async def find(self, connection: Connection, mailboxes: Collection[str]) -> dict[str, Suppressions]:
        """Return the entries that apply now, by mailbox. Mailboxes without an entry are left out."""
        if not mailboxes:
            return {}
        by_digest = {await self.digest(connection, each): each for each in mailboxes}
        found = dict[str, dict[str | None, SuppressionReason]]()
        async for row in _SQL.find_suppressed(connection, digests=list(by_digest)):
            found.setdefault(by_digest[row["digest"]], {})[row["site"]] = row["reason"]
        return dict(found)

    async def add(
        self,
        connection: Connection,
        mailbox: str,
        site: str | None,
        reason: SuppressionReason,
        *,
        actor: str,
        lead_id: UUID | None = None,
    ) -> UUID:
        """Suppress a mailbox for 180 days, for one site or for all (None). Return the entry's id."""
        digest = await self.digest(connection, mailbox)
        entry: UUID = await _SQL.suppress_address(
            connection, digest=digest, site=site, reason=reason, lead_id=lead_id, actor=actor
        )
        return entry
