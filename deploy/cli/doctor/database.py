"""Checks of PostgreSQL, as the services' own role: it can see what it may not do."""

import hashlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from deploy.cli.doctor.check_result import Finding, fail, is_this_machine, ok, warn
from deploy.cli.doctor.rights import examine_rights
from deploy.cli.migrate import ENCODING, MIGRATIONS
from runtime.database.postgres import Connection, Pool, load_queries, snapshot
from runtime.failures import Failure
from runtime.settings import Postgres
from services.admin.monitoring.queue_counts import count_queue

SQL: Any = load_queries(Path(__file__).with_name("database.sql"))
OLDEST: Final = 150000
SKEW_SECONDS: Final = 2.0
# The job runs every five minutes; a run that is five late is one that did not come.
LATE_SECONDS: Final = 300.0
SPARE_CONNECTIONS: Final = 10
MEBIBYTE: Final = 1 << 20


async def examine_database(pool: Pool, settings: Postgres, processes: int) -> AsyncIterator[Finding]:
    """Reach it, then look at roles, schema, jobs and books. Ends early where nothing further can be asked."""
    try:
        async with snapshot(pool) as connection:
            before = time.time()
            server = await SQL.server(connection)
            middle = (before + time.time()) / 2
            migrated = await SQL.has_schema(connection)
            yield _reached(server)
            yield _encrypted(settings, server)
            yield _clock(server["now"], middle)
            yield _connections(server, settings, processes)
            if not migrated:
                yield fail("migrations", "the database is empty", "python -m deploy.cli.migrate")
                return
            async for found in examine_rights(connection, server):
                yield found
            yield await _migrations(connection)
            async for found in _jobs(connection):
                yield found
        for found in await _books(pool):
            yield found
    except Failure as failure:
        yield fail(
            "database", failure.reason, "check DATABASE_URL; docs/managed-services.md explains the reasons"
        )


def _reached(server: Any) -> Finding:
    seen = f"PostgreSQL {server['version'] // 10000} as {server['role']}, {server['bytes'] // MEBIBYTE} MiB"
    if server["version"] < OLDEST:
        return fail("database", seen, "15 or newer is needed")
    if server["encoding"] != ENCODING:
        todo = f"create it with ENCODING '{ENCODING}' TEMPLATE template0, and restore the data into it"
        return fail("database", f"{seen}, encoding {server['encoding']}", todo)
    return ok("database", seen)


def _encrypted(settings: Postgres, server: Any) -> Finding:
    url = urlsplit(settings.url.get_secret_value())
    mode = parse_qs(url.query).get("sslmode", ["prefer"])[0]
    if server["is_encrypted"] and mode in ("verify-ca", "verify-full"):
        return ok("database-tls", f"TLS, sslmode={mode}")
    if is_this_machine(url.hostname):
        return ok("database-tls", "not needed: the same machine")
    how = f"TLS without a check of the certificate (sslmode={mode})" if server["is_encrypted"] else "no TLS"
    todo = "add ?sslmode=verify-full to DATABASE_URL, unless this network is this machine's own (compose)"
    return warn("database-tls", how, todo)


def _clock(now: datetime, here: float) -> Finding:
    skew = now.timestamp() - here
    seen = f"database {skew:+.2f} s from here ({datetime.now(UTC):%H:%M:%S} UTC)"
    if abs(skew) > SKEW_SECONDS:
        return fail("clocks", seen, "run NTP on both: leases and due times go by the database's clock")
    return ok("clocks", seen)


def _connections(server: Any, settings: Postgres, processes: int) -> Finding:
    limits = [n for n in (server["connections"], server["rolconnlimit"], server["datconnlimit"]) if n >= 0]
    needed, limit = processes * settings.pool_max, min(limits)
    seen = f"{processes} processes x {settings.pool_max} = {needed} of {limit}"
    todo = "raise max_connections, or lower FASTCORE_POSTGRES_POOL_MAX (4 at least)"
    if needed > limit:
        return fail("connections", seen, todo)
    if needed + SPARE_CONNECTIONS > limit:
        return warn("connections", f"{seen}: none to spare for you and a migration", todo)
    return ok("connections", seen)


async def _migrations(connection: Connection) -> Finding:
    has = {row["name"]: row["sha256"] async for row in SQL.applied(connection)}
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in MIGRATIONS.glob("[0-9]*.sql")
    }
    if lacking := sorted(files.keys() - has.keys()):
        return fail("migrations", f"not applied: {', '.join(lacking)}", "python -m deploy.cli.migrate")
    if changed := sorted(name for name in files if has[name] != files[name]):
        return fail("migrations", f"changed since: {', '.join(changed)}", "run the version that made it")
    if newer := sorted(has.keys() - files.keys()):
        return warn("migrations", f"the database is newer: {', '.join(newer)}", "finish the upgrade")
    return ok("migrations", f"all {len(files)} applied")


async def _jobs(connection: Connection) -> AsyncIterator[Finding]:
    seen = False
    async for row in SQL.jobs(connection):
        seen = True
        if row["last_outcome"] == "failed":
            yield fail("jobs", f"{row['name']} failed", "docs/runbooks/JobNotRun.md")
        elif row["next_run_at"] and row["late_seconds"] > LATE_SECONDS:
            late = f"{row['name']} is {row['late_seconds'] / 60:.0f} minutes late"
            yield fail("jobs", late, "is a flusher running? docs/runbooks/JobNotRun.md")
        else:
            yield ok("jobs", f"{row['name']}: last run {row['last_outcome'] or 'not yet'}")
    if not seen:
        yield warn("jobs", "none has run yet", "start a flusher; the first run comes within five minutes")


async def _books(pool: Pool) -> list[Finding]:
    census = await count_queue(pool)
    books, found = census.books, []
    if not books.balanced:
        off = ", ".join(f"{b.stage} {b.name} {b.difference:+}" for b in books.identities if not b.balanced)
        found.append(fail("ledger", f"differs: {off}", "docs/runbooks/LedgerDrift.md"))
    if gone := sum(stage.missing for stage in books.stages):
        todo = "Kafka had deleted them before they were read: docs/runbooks/LedgerDrift.md"
        found.append(warn("ledger", f"{gone} records missing", todo))
    dead = sum(stage.dead for stage in census.stages)
    queue = f"{sum(stage.waiting for stage in census.stages)} waiting, {dead} dead"
    queue_todo = "docs/runbooks/DeadLetters.md"
    return [
        *(
            found
            or [
                ok(
                    "ledger",
                    f"balanced, {sum(stage.records for stage in books.stages)} records taken by all stages",
                )
            ]
        ),
        warn("queue", queue, queue_todo) if dead else ok("queue", queue),
        *(
            fail("breaker", f"{stage.stage} is stopped: {stage.pause_reason}", "docs/runbooks/BreakerOpen.md")
            for stage in census.stages
            if stage.paused
        ),
    ]
