"""What the services' role may do in PostgreSQL: its rights, functions that run as their owner, triggers."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from deploy.cli.doctor.check_result import Finding, fail, ok, warn
from deploy.cli.migrate import FUNCTIONS, GRANTS
from runtime.database.postgres import Connection, load_queries

SQL: Any = load_queries(Path(__file__).with_name("database.sql"))
MIGRATE: Final = "python -m deploy.cli.migrate"
# Bits of pg_trigger.tgtype: before a statement that updates, deletes or truncates; after one that inserts,
# deletes or updates.
_BEFORE_CHANGES: Final = 2 + 8 + 16 + 32
_INSERT, _DELETE, _UPDATE = 4, 8, 16
APPEND_ONLY: Final = "audit_log.audit_log_is_append_only"
COUNTS: Final = {
    f"{table}.{table}_{name}": bit
    for table in ("lead_inbox", "email_delivery", "replay_queue")
    for name, bit in (("came", _INSERT), ("changed", _UPDATE), ("went", _DELETE))
}


async def examine_rights(connection: Connection, server: Any) -> AsyncIterator[Finding]:
    """Yield what the services' role owns, may do and could reach through a function or without a trigger."""
    rights = await SQL.rights(connection)
    yield await _role(connection, server, rights)
    yield await _grants(connection)
    yield await _functions(connection)
    triggers = {row["name"]: row async for row in SQL.triggers(connection)}
    yield _audit(rights, triggers)
    yield _counts(triggers)


async def _role(connection: Connection, server: Any, rights: Any) -> Finding:
    owned = await SQL.objects_of_the_role(connection)
    member = [row["rolname"] async for row in SQL.roles_of_the_role(connection)]
    can = [
        word
        for word, is_so in (
            ("is a superuser, or may make roles, databases or replicas", server["is_mighty"]),
            (f"owns {owned} objects", owned),
            (f"is a member of {', '.join(member[:5])}", member),
        )
        if is_so
    ]
    if can:
        todo = "give the services a role of their own in DATABASE_URL, the owner's to migrate only"
        return fail("database-role", f"{server['role']} {'; '.join(can)}", todo)
    if rights["creates"] or rights["creates_temporary"] or rights["creates_schemas"]:
        todo = (
            "python -m deploy.cli.migrate; where its role does not own the database, as who does:"
            f' REVOKE TEMPORARY, CREATE ON DATABASE ... FROM PUBLIC, "{server["role"]}"'
        )
        return fail("database-role", f"{server['role']} may create tables, temporary tables or schemas", todo)
    return ok("database-role", f"{server['role']} owns nothing and may create nothing")


async def _grants(connection: Connection) -> Finding:
    """Compare the rights on tables, views and sequences with those that deploy.cli.migrate grants."""
    has = {(row["name"], row["privilege"]) async for row in SQL.grants(connection)}
    wanted = {
        (table, f"{what.split()[0]} of columns" if "(" in what else what)
        for table, grants in GRANTS.items()
        for what in grants
    }
    if extra := sorted(has - wanted):
        seen = ", ".join(f"{privilege} on {name}" for name, privilege in extra[:5])
        return fail("grants", f"the services' role has rights that it does not need: {seen}", MIGRATE)
    if missing := sorted(wanted - has):
        seen = ", ".join(f"{privilege} on {name}" for name, privilege in missing[:5])
        return fail("grants", f"the services' role lacks {seen}", MIGRATE)
    return ok("grants", f"{len(wanted)} rights on {len(GRANTS)} tables, as the services need")


async def _functions(connection: Connection) -> Finding:
    """Look at every SECURITY DEFINER function: where it finds names, and who may execute it."""
    allowed = {name.replace(", ", ",") for name in FUNCTIONS}
    definers, wrong, mighty = 0, list[str](), list[str]()
    async for row in SQL.functions(connection):
        name = row["name"].removeprefix("public.")
        definers += row["is_definer"]
        mighty += [name] if row["is_definer"] and row["is_superusers"] else []
        last = row["search_path"].split(",")[-1].split("=")[-1].strip()
        wrong += [
            f"{name} {word}"
            for word, is_so in (
                ("may be executed by everybody", row["is_public"]),
                (
                    "has no search_path that ends in pg_temp",
                    row["is_definer"] and last != "pg_temp",
                ),
                (
                    "runs as its owner for the services' role",
                    row["is_definer"] and row["is_allowed"] and not row["is_public"] and name not in allowed,
                ),
            )
            if is_so
        ]
    if wrong:
        todo = (
            f"{MIGRATE}; for a function that is not FASTCore's: REVOKE, or ALTER FUNCTION ... SET search_path"
        )
        return fail("functions", "; ".join(wrong[:5]), todo)
    if mighty:
        todo = "give FASTCORE_MIGRATION_DATABASE_URL an owner that is no superuser: docs/managed-services.md"
        return warn("functions", f"run as a superuser: {', '.join(mighty[:5])}", todo)
    return ok("functions", f"{definers} run as their owner, each with a fixed search_path")


def _audit(rights: Any, triggers: dict[str, Any]) -> Finding:
    if rights["alters_audit"]:
        return fail("audit-log", "the services' role may change it", MIGRATE)
    row = triggers.get(APPEND_ONLY)
    if row is None or row["enabled"] != "A" or row["type"] != _BEFORE_CHANGES:
        todo = "as the owner: ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_is_append_only"
        return fail("audit-log", "the trigger that keeps it append-only is off, changed or gone", todo)
    if row["function"].removeprefix("public.") != "refuse_audit_change":
        return fail("audit-log", f"its trigger calls {row['function']}", "restore it from migration 0001")
    return ok("audit-log", "append-only by trigger and by right")


def _counts(triggers: dict[str, Any]) -> Finding:
    off = [
        name
        for name, bit in COUNTS.items()
        if (row := triggers.get(name)) is None
        or row["enabled"] not in ("O", "A")
        or row["type"] != bit
        or row["function"].removeprefix("public.") != "count_rows"
    ]
    if off:
        todo = "as the owner: ALTER TABLE ... ENABLE TRIGGER ..., then SELECT recount_rows()"
        return fail("count-triggers", f"off, changed or gone: {', '.join(off)}", todo)
    return ok("count-triggers", f"{len(COUNTS)} count the rows of three tables")
