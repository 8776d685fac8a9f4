"""Checks the services' role in PostgreSQL: its rights, the SECURITY DEFINER functions and the triggers."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from deploy.cli.doctor.check_result import CheckResult, fail, ok, warn
from deploy.cli.role_rights import FUNCTIONS, GRANTS
from runtime.database.postgres import Connection, load_queries

SQL: Any = load_queries(Path(__file__).with_name("database.sql"))
MIGRATE: Final = "python -m deploy.cli.migrate"
# Bits of pg_trigger.tgtype. BEFORE UPDATE OR DELETE OR TRUNCATE, and the single bits of AFTER triggers.
_BEFORE_CHANGES: Final = 2 + 8 + 16 + 32
_INSERT, _DELETE, _UPDATE = 4, 8, 16
_BEFORE_INSERT_OF_ROW: Final = 1 + 2 + 4
APPEND_ONLY: Final = "audit_log_is_append_only"
EVENT_IDS: Final = "audit_log.audit_log_event_id"
PARTITION: Final = "python -m deploy.cli.audit partition"
PARTITIONS_AHEAD: Final = 2
AHEAD: Final = "docs/runbooks/AuditPartitionsMissing.md"
_COUNTED_BY: Final = {
    "lead_inbox": "count_rows",
    "email_delivery": "count_rows",
    "replay_queue": "count_rows",
    "webhook_delivery": "count_deliveries",
    "webhook_event": "count_deliveries",
    "lead_event_outbox": "count_deliveries",
}
# The bit and the function of each trigger. A row of the outbox is never changed.
COUNT_TRIGGERS: Final = {
    f"{table}.{table}_{name}": (bit, function)
    for table, function in _COUNTED_BY.items()
    for name, bit in (("came", _INSERT), ("changed", _UPDATE), ("went", _DELETE))
    if (table, name) != ("lead_event_outbox", "changed")
}


async def check_rights(connection: Connection, server: Any) -> AsyncIterator[CheckResult]:
    """Check the rights of the services' role, the functions that it may execute, and the triggers.

    `server` is the row of the query `server` in `database.sql`. It describes the server, the connection and
    the connection's role.
    """
    rights = await SQL.rights(connection)
    yield await _check_role(connection, server, rights)
    yield await _check_grants(connection)
    yield await _check_functions(connection)
    triggers = {row["name"]: row async for row in SQL.triggers(connection)}
    partitions = await SQL.audit_partitions(connection)
    yield _check_audit_log(rights, triggers, partitions["names"] or [])
    yield _check_partitions(partitions)
    yield _check_count_triggers(triggers)


async def _check_role(connection: Connection, server: Any, rights: Any) -> CheckResult:
    owned = await SQL.objects_of_the_role(connection)
    member = [row["rolname"] async for row in SQL.roles_of_the_role(connection)]
    excess = [
        words
        for words, applies in (
            ("is a superuser, or may create roles, databases or replicas", server["is_privileged"]),
            (f"owns {owned} objects", owned),
            (f"is a member of {', '.join(member[:5])}", member),
        )
        if applies
    ]
    if excess:
        todo = "name a role of the services' own in DATABASE_URL, and use the owner's role to migrate only"
        return fail("database-role", f"{server['role']} {'; '.join(excess)}", todo)
    if rights["creates"] or rights["creates_temporary"] or rights["creates_schemas"]:
        todo = (
            f"{MIGRATE}; if its role does not own the database, run this as the database's owner:"
            f' REVOKE TEMPORARY, CREATE ON DATABASE ... FROM PUBLIC, "{server["role"]}"'
        )
        return fail("database-role", f"{server['role']} may create tables, temporary tables or schemas", todo)
    return ok("database-role", f"{server['role']} owns nothing and may create nothing")


async def _check_grants(connection: Connection) -> CheckResult:
    """Compare the rights on tables, views and sequences with those that deploy.cli.migrate grants."""
    granted = {(row["name"], row["privilege"]) async for row in SQL.grants(connection)}
    required = {
        (table, f"{right.split()[0]} of columns" if "(" in right else right)
        for table, rights in GRANTS.items()
        for right in rights
    }
    if extra := sorted(granted - required):
        seen = ", ".join(f"{privilege} on {name}" for name, privilege in extra[:5])
        return fail("grants", f"the services' role has rights that it does not need: {seen}", MIGRATE)
    if missing := sorted(required - granted):
        seen = ", ".join(f"{privilege} on {name}" for name, privilege in missing[:5])
        return fail("grants", f"the services' role lacks {seen}", MIGRATE)
    return ok("grants", f"{len(required)} rights on {len(GRANTS)} tables, as the services need")


async def _check_functions(connection: Connection) -> CheckResult:
    """Check the search_path of every SECURITY DEFINER function, and who may execute each function."""
    allowed = {name.replace(", ", ",") for name in FUNCTIONS}
    definers, wrong, owned_by_superuser = 0, list[str](), list[str]()
    async for row in SQL.functions(connection):
        name = row["name"].removeprefix("public.")
        definers += row["is_definer"]
        owned_by_superuser += [name] if row["is_definer"] and row["is_superusers"] else []
        last_schema = row["search_path"].split(",")[-1].split("=")[-1].strip()
        wrong += [
            f"{name} {words}"
            for words, applies in (
                ("may be executed by everybody", row["is_public"]),
                (
                    "has no search_path that ends in pg_temp",
                    row["is_definer"] and last_schema != "pg_temp",
                ),
                (
                    "runs as its owner for the services' role",
                    row["is_definer"] and row["is_allowed"] and not row["is_public"] and name not in allowed,
                ),
            )
            if applies
        ]
    if wrong:
        todo = (
            f"{MIGRATE}; for a function that is not FASTCore's: REVOKE, or ALTER FUNCTION ... SET search_path"
        )
        return fail("functions", "; ".join(wrong[:5]), todo)
    if owned_by_superuser:
        todo = (
            "use an owner in FASTCORE_MIGRATION_DATABASE_URL that is no superuser: docs/managed-services.md"
        )
        return warn("functions", f"run as a superuser: {', '.join(owned_by_superuser[:5])}", todo)
    return ok("functions", f"{definers} run as their owner, each with a fixed search_path")


def _check_audit_log(rights: Any, triggers: dict[str, Any], partitions: Sequence[str]) -> CheckResult:
    if rights["alters_audit"]:
        return fail("audit-log", "the services' role may change it", MIGRATE)
    for table in ("audit_log", *partitions):
        row = triggers.get(f"{table}.{APPEND_ONLY}")
        if row is None or row["enabled"] != "A" or row["type"] != _BEFORE_CHANGES:
            seen = f"the trigger that keeps {table} append-only is disabled, changed or missing"
            todo = f"as the owner: ALTER TABLE {table} ENABLE ALWAYS TRIGGER {APPEND_ONLY}"
            return fail("audit-log", seen, todo)
        if row["function"].removeprefix("public.") != "refuse_audit_change":
            seen = f"the trigger of {table} calls {row['function']}"
            return fail("audit-log", seen, "restore it from migration 0001")
    if partitions and not _records_ids(triggers.get(EVENT_IDS)):
        seen = "the trigger that keeps event ids unique is disabled, changed or missing"
        return fail(
            "audit-log", seen, "as the owner: ALTER TABLE audit_log ENABLE TRIGGER audit_log_event_id"
        )
    return ok("audit-log", "append-only by trigger and by right")


def _records_ids(row: Any) -> bool:
    return (
        row is not None
        and row["enabled"] in ("O", "A")
        and row["type"] == _BEFORE_INSERT_OF_ROW
        and row["function"].removeprefix("public.") == "record_audit_event"
    )


def _check_partitions(row: Any) -> CheckResult:
    """Check that empty partitions follow the one of the newest entry: an insert without a partition fails."""
    name = "audit-partitions"
    if not row["is_partitioned"]:
        if row["is_interrupted"]:
            seen = "a partitioning was interrupted, and new entries will be refused one day"
            return fail(name, seen, PARTITION)
        return ok(name, f"the audit log is one table; to archive parts of it one day: {PARTITION}")
    seen = f"{row['partitions']} partitions, {row['ahead']} of them ahead"
    if row["ahead"] < 1:
        return fail(name, f"{seen}: without the next one, no lead is stored", AHEAD)
    if row["ahead"] < PARTITIONS_AHEAD:
        return warn(name, seen, AHEAD)
    return ok(name, seen)


def _check_count_triggers(triggers: dict[str, Any]) -> CheckResult:
    off = [
        name
        for name, (bit, function) in COUNT_TRIGGERS.items()
        if (row := triggers.get(name)) is None
        or row["enabled"] not in ("O", "A")
        or row["type"] != bit
        or row["function"].removeprefix("public.") != function
    ]
    if off:
        todo = "as the owner: ALTER TABLE ... ENABLE TRIGGER ..., then SELECT recount_rows()"
        return fail("count-triggers", f"disabled, changed or missing: {', '.join(off)}", todo)
    return ok(
        "count-triggers", f"all {len(COUNT_TRIGGERS)} triggers count the rows of {len(_COUNTED_BY)} tables"
    )
