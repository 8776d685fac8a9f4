"""Checks of PostgreSQL. They connect with the services' own role, which can see its own rights."""

import hashlib
import time
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from deploy.cli.doctor.check_result import CheckResult, fail, is_this_machine, ok, warn
from deploy.cli.doctor.deliveries import check_destinations, check_outbox
from deploy.cli.doctor.rights import check_rights
from deploy.cli.migrate import ENCODING, MIGRATIONS
from deploy.cli.search_index import has_search_index
from runtime.database.postgres import Connection, Pool, load_queries, snapshot
from runtime.failures import Failure
from runtime.settings import Postgres
from services.admin.monitoring.queue_counts import count_queue

SQL: Any = load_queries(Path(__file__).with_name("database.sql"))
OLDEST_VERSION: Final = 150000
MAX_SKEW_SECONDS: Final = 2.0
# A job runs every five minutes. One that is five minutes late has missed a run.
LATE_SECONDS: Final = 300.0
SPARE_CONNECTIONS: Final = 10
MEBIBYTE: Final = 1 << 20


async def check_database(
    pool: Pool, settings: Postgres, processes: int, destinations: Collection[str] | None = None
) -> AsyncIterator[CheckResult]:
    """Connect to the database, then check rights, schema, jobs, outbox, destinations and ledger.

    `processes` is the number of service processes. It determines how many connections they need.
    `destinations` are those of the sites file, or None if no valid file is known. If the database cannot be
    queried, the last result is a failure with the reason.
    """
    try:
        async with snapshot(pool) as connection:
            before = time.time()
            server = await SQL.server(connection)
            middle = (before + time.time()) / 2
            migrated = await SQL.has_schema(connection)
            yield _check_server(server)
            yield _check_encryption(settings, server)
            yield _check_clock(server["now"], middle)
            yield _check_connections(server, settings, processes)
            if not migrated:
                yield fail("migrations", "the database is empty", "python -m deploy.cli.migrate")
                return
            async for result in check_rights(connection, server):
                yield result
            yield await _check_migrations(connection)
            yield _check_search_index(settings, await has_search_index(connection))
            async for result in _check_jobs(connection):
                yield result
            yield await check_outbox(connection)
            async for result in check_destinations(connection, destinations):
                yield result
        for result in await _check_ledger_and_queue(pool):
            yield result
    except Failure as failure:
        yield fail(
            "database", failure.reason, "check DATABASE_URL; docs/managed-services.md explains the reasons"
        )


def _check_server(server: Any) -> CheckResult:
    seen = f"PostgreSQL {server['version'] // 10000} as {server['role']}, {server['bytes'] // MEBIBYTE} MiB"
    if server["version"] < OLDEST_VERSION:
        return fail("database", seen, "upgrade to PostgreSQL 15 or newer")
    if server["encoding"] != ENCODING:
        todo = f"create it with ENCODING '{ENCODING}' TEMPLATE template0, and restore the data into it"
        return fail("database", f"{seen}, encoding {server['encoding']}", todo)
    return ok("database", seen)


def _check_encryption(settings: Postgres, server: Any) -> CheckResult:
    url = urlsplit(settings.url.get_secret_value())
    mode = parse_qs(url.query).get("sslmode", ["prefer"])[0]
    if server["is_encrypted"] and mode in ("verify-ca", "verify-full"):
        return ok("database-tls", f"TLS, sslmode={mode}")
    if is_this_machine(url.hostname):
        return ok("database-tls", "not needed: the same machine")
    unverified = f"TLS, but the certificate is not verified (sslmode={mode})"
    todo = "add ?sslmode=verify-full to DATABASE_URL, unless the network is this machine's own (compose)"
    return warn("database-tls", unverified if server["is_encrypted"] else "no TLS", todo)


def _check_clock(database_time: datetime, local_time: float) -> CheckResult:
    skew = database_time.timestamp() - local_time
    seen = f"the database is {skew:+.2f} s from this machine ({datetime.now(UTC):%H:%M:%S} UTC)"
    if abs(skew) > MAX_SKEW_SECONDS:
        return fail("clocks", seen, "run NTP on both: leases and due times use the database's clock")
    return ok("clocks", seen)


def _check_connections(server: Any, settings: Postgres, processes: int) -> CheckResult:
    limits = [n for n in (server["connections"], server["rolconnlimit"], server["datconnlimit"]) if n >= 0]
    needed, limit = processes * settings.pool_max, min(limits)
    seen = f"{processes} processes x {settings.pool_max} = {needed} of {limit}"
    todo = "raise max_connections, or lower FASTCORE_POSTGRES_POOL_MAX (4 at least)"
    if needed > limit:
        return fail("connections", seen, todo)
    if needed + SPARE_CONNECTIONS > limit:
        return warn("connections", f"{seen}: too few are left for you and a migration", todo)
    return ok("connections", seen)


async def _check_migrations(connection: Connection) -> CheckResult:
    applied = {row["name"]: row["sha256"] async for row in SQL.applied(connection)}
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in MIGRATIONS.glob("[0-9]*.sql")
    }
    if missing := sorted(files.keys() - applied.keys()):
        return fail("migrations", f"not applied: {', '.join(missing)}", "python -m deploy.cli.migrate")
    if changed := sorted(name for name in files if applied[name] != files[name]):
        todo = "run the doctor of the version that applied them, and restore the files"
        return fail("migrations", f"changed after they were applied: {', '.join(changed)}", todo)
    if newer := sorted(applied.keys() - files.keys()):
        return warn("migrations", f"the database is newer: {', '.join(newer)}", "finish the upgrade")
    return ok("migrations", f"all {len(files)} applied")


def _check_search_index(settings: Postgres, exists: bool) -> CheckResult:
    if exists:
        return ok("search-index", "searches use pg_trgm")
    seen = "without pg_trgm a search reads the leads one after the other"
    if is_this_machine(urlsplit(settings.url.get_secret_value()).hostname):
        return ok("search-index", f"{seen}: enough for development")
    todo = "as a superuser: CREATE EXTENSION pg_trgm (contrib); then python -m deploy.cli.migrate"
    return warn("search-index", seen, todo)


async def _check_jobs(connection: Connection) -> AsyncIterator[CheckResult]:
    any_job = False
    async for row in SQL.jobs(connection):
        any_job = True
        if row["last_outcome"] == "failed":
            yield fail("jobs", f"{row['name']} failed", "docs/runbooks/JobNotRun.md")
        elif row["next_run_at"] and row["late_seconds"] > LATE_SECONDS:
            seen = f"{row['name']} is {row['late_seconds'] / 60:.0f} minutes late"
            yield fail("jobs", seen, "start a flusher: docs/runbooks/JobNotRun.md")
        else:
            yield ok("jobs", f"{row['name']}: last run {row['last_outcome'] or 'not yet'}")
    if not any_job:
        yield warn("jobs", "no job has run yet", "start a flusher; the first run is within five minutes")


async def _check_ledger_and_queue(pool: Pool) -> list[CheckResult]:
    counts = await count_queue(pool)
    books, results = counts.books, list[CheckResult]()
    if not books.balanced:
        off = ", ".join(f"{b.stage} {b.name} {b.difference:+}" for b in books.identities if not b.balanced)
        results.append(fail("ledger", f"differs: {off}", "docs/runbooks/LedgerDrift.md"))
    if missing := sum(stage.missing for stage in books.stages):
        todo = "Kafka deleted them before a service read them: docs/runbooks/LedgerDrift.md"
        results.append(warn("ledger", f"{missing} records missing", todo))
    if not results:
        records = sum(stage.records for stage in books.stages)
        results.append(ok("ledger", f"balanced, {records} records processed by all stages"))
    dead = sum(stage.dead for stage in counts.stages)
    seen = f"{sum(stage.waiting for stage in counts.stages)} pending, {dead} failed permanently"
    results.append(warn("queue", seen, "docs/runbooks/DeadLetters.md") if dead else ok("queue", seen))
    results += [
        fail("breaker", f"{stage.stage} is paused: {stage.pause_reason}", "docs/runbooks/BreakerOpen.md")
        for stage in counts.stages
        if stage.paused
    ]
    return results
