"""Checks the sealed audit log with the program of docs/audit.md: no fault may leave a seal that is wrong."""

import asyncio
import json
import time
from pathlib import Path
from typing import Final

import asyncpg

from tests.faults.violations import Violation
from tests.tampering.changes import LEAVES
from tests.tampering.independent import refuses_export, refuses_tables

SECONDS: Final = 30.0


async def check_seal(url: str, folder: Path) -> list[Violation]:
    """Return a violation unless the flusher seals every entry, and both readings of the log accept it.

    `url` is the owner's. The installation must be idle.
    """
    db = await asyncpg.connect(url)
    try:
        await db.execute("UPDATE scheduled_job SET requested_at = now() WHERE name = 'audit_seal'")
        deadline = time.monotonic() + SECONDS
        while await refuses_tables(db):
            if time.monotonic() > deadline:
                reason = await db.fetchval(
                    "SELECT last_details->>'reason' FROM scheduled_job WHERE name = 'audit_seal'"
                )
                return [Violation("seal", f"the tiles and checkpoints are not those of the log: {reason}")]
            await asyncio.sleep(0.5)
        note = await db.fetchval("SELECT note FROM audit_checkpoint ORDER BY number DESC LIMIT 1")
        first = await db.fetchval("SELECT note FROM audit_checkpoint ORDER BY number LIMIT 1")
        entries = [row["leaf"] for row in await db.fetch(LEAVES)]
    finally:
        await db.close()
    header = json.dumps({"checkpoint": note}, ensure_ascii=False)
    if refuses_export(folder / "audit-log.jsonl", [header, *entries], first):
        return [Violation("seal", "the document's program refuses the export of the log")]
    return []
