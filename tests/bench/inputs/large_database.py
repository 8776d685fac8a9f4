"""The database of a large installation, generated once and stored under .fastcore/bench."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
from rich.console import Console
from rich.progress import Progress

from deploy.cli.migrate import migrate
from deploy.embedded.servers.postgres import DatabaseUrls
from deploy.embedded.servers.standalone import running_postgres
from deploy.embedded.settings import ROOT
from runtime.database.postgres import load_queries

SQL: Any = load_queries(Path(__file__).with_name("large_database.sql"))
TABLES: Final = [
    "lead_inbox",
    "audit_log",
    "email_delivery",
    "replay_queue",
    "webhook_event",
    "webhook_delivery",
]
CHUNK: Final = 50_000
ENTRIES_PER_LEAD: Final = 5


@dataclass(frozen=True)
class Size:
    """The size of the data. `seed` chooses the people; everything else depends on the numbers."""

    leads: int = 1_000_000
    seed: int = 1

    @property
    def folder(self) -> Path:
        return ROOT / ".fastcore" / "bench" / f"leads-{self.leads}-seed-{self.seed}"


@contextmanager
def large_database(size: Size, console: Console, url: str = "") -> Iterator[DatabaseUrls]:
    """Run PostgreSQL with the migrated data, and generate the data if it does not exist.

    If `url` is given, use that server: an empty database, or one of an earlier run. A superuser's URL.
    """
    if url:
        asyncio.run(prepare_database(url, size, console))
        yield DatabaseUrls(url, url, url)
        return
    done = size.folder / "made.json"
    with running_postgres(size.folder, keep=True) as server:
        applied = asyncio.run(migrate(server.urls.owner, server.urls.service))
        if not done.exists():
            made = asyncio.run(_make(server.urls.superuser, size, console))
            done.write_text(json.dumps(asdict(size) | made))
        elif applied:
            asyncio.run(_wait_until_idle(server.urls.superuser))
        asyncio.run(_replay_once(server.urls.superuser))
        yield server.urls


async def prepare_database(url: str, size: Size, console: Console) -> None:
    """Migrate the database, and generate its rows unless it has enough leads."""
    applied = await migrate(url, url)
    db = await asyncpg.connect(url, command_timeout=600)
    leads = await db.fetchval("SELECT count(*) FROM lead_inbox")
    await db.close()
    if leads < size.leads:  # a measurement may have added some
        await _make(url, size, console)
    elif applied:
        await _wait_until_idle(url)
    await _replay_once(url)


async def _replay_once(url: str) -> None:
    db = await asyncpg.connect(url, command_timeout=600)
    if not await db.fetchval("SELECT count(*) FROM queue_replay"):
        await SQL.add_replay(db)
        await db.execute("VACUUM ANALYZE queue_replay, queue_replay_item")
    await db.close()


async def ends_at(connection: Any) -> datetime:
    """Return the time of the last lead, which is `now` for this data."""
    moment: datetime = await connection.fetchval("SELECT max(created_at_utc) FROM lead_inbox")
    return moment


async def _make(url: str, size: Size, console: Console) -> dict[str, Any]:
    began = time.monotonic()
    db = await asyncpg.connect(url, command_timeout=1800)
    await db.execute("SET synchronous_commit = off")
    await db.execute("SET maintenance_work_mem = '512MB'")
    await db.execute("SET work_mem = '128MB'")
    emptied = [
        *(each for each in TABLES if each != "audit_log"),
        "partition_ledger",
        "scheduled_job",
        "lead_note",
    ]
    await db.execute(f"TRUNCATE {', '.join(emptied)}")
    await db.execute(SQL.make_tools.sql)
    indexes = await db.fetch(SQL.list_indexes.sql, TABLES)
    triggers = await db.fetch(SQL.list_triggers.sql, TABLES)
    for each in triggers:
        await db.execute(f"ALTER TABLE {each['table']} DISABLE TRIGGER {each['name']}")
    for each in reversed(indexes):
        await db.execute(each["drop"])
    # The generation of mails and entries looks leads up by id.
    await db.execute("CREATE INDEX made_leads ON lead_inbox (id)")
    await db.execute("CREATE INDEX made_mails ON email_delivery (lead_id)")
    given: dict[str, Any] = {"total": size.leads, "ends_at": datetime.now(UTC), "seed": size.seed}
    with Progress(console=console) as progress:
        task = progress.add_task("leads, mails, entries", total=size.leads)
        for first in range(1, size.leads + 1, CHUNK):
            last = min(first + CHUNK - 1, size.leads)
            span = given | {"first": first, "last": last, "wanted": (last - first + 1) * ENTRIES_PER_LEAD}
            for step in ("add_leads", "add_mails", "add_entries", "add_deliveries"):
                await getattr(SQL, step)(db, **span)
            progress.advance(task, last - first + 1)
        await db.execute("TRUNCATE lead_response")
        await SQL.add_responses(db)
        await SQL.add_queue(db, **given)
        await SQL.write_books(db)
        await SQL.add_jobs(db)
        await db.execute("DROP INDEX made_leads, made_mails")
        for each in progress.track(indexes, description="indexes"):
            await db.execute(each["make"])
        # The trigger that records them was off.
        await db.execute("INSERT INTO audit_event_id SELECT event_id FROM audit_log ON CONFLICT DO NOTHING")
        for each in triggers:
            how = {"O": "ENABLE", "A": "ENABLE ALWAYS"}[each["enabled"]]
            await db.execute(f"ALTER TABLE {each['table']} {how} TRIGGER {each['name']}")
    await db.close()
    await _wait_until_idle(url)
    seconds = round(time.monotonic() - began)
    console.print(f"made in {seconds} s")
    return {"seconds": seconds, "ends_at": given["ends_at"].isoformat()}


async def _wait_until_idle(url: str) -> None:
    """Vacuum, analyze and checkpoint, so that nothing runs in the background later."""
    db = await asyncpg.connect(url, command_timeout=1800)
    if await db.fetchval("SELECT to_regproc('recount_rows') IS NOT NULL"):
        await db.execute("SELECT recount_rows()")
    if await db.fetchval("SELECT to_regproc('refresh_lead_summary') IS NOT NULL"):
        await db.execute("SELECT refresh_lead_summary()")
    await db.execute("VACUUM ANALYZE")
    await db.execute("CHECKPOINT")
    await db.close()


async def sizes(connection: Any, url: str) -> list[Any]:
    """Return rows and bytes of each large table and of the total."""
    rows = [dict(row) for row in await connection.fetch(SQL.list_sizes.sql, TABLES)]
    whole = await connection.fetchval("SELECT pg_database_size($1)", urlsplit(url).path[1:])
    return [*rows, {"table": "the whole database", "rows": None, "bytes": whole, "index_bytes": None}]
