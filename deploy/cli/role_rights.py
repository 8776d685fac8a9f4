"""The rights of the services' role, and the settings of the database's sessions.

`migrate` grants and sets them, and the doctor compares the role's rights with them.
"""

from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# The role may insert into these columns of audit_log only: with `id`, it could occupy the next ids and block
# every later entry.
AUDIT_COLUMNS: Final = (
    "event_id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc"
)
# The role may delete notes, views, incidents, suppressed addresses, listed alerts and published events only:
# the ledger counts the rows of other tables.
GRANTS: Final = {
    **dict.fromkeys(
        (
            "lead_inbox",
            "email_delivery",
            "replay_queue",
            "scheduled_job",
            "partition_ledger",
            "stage_control",
            "queue_replay",
            "queue_replay_item",
            "held_digest",
            "held_lead",
            "alert_digest",
            "bulk_change",
            "bulk_change_item",
            "webhook_event",
            "webhook_delivery",
            "webhook_destination",
            "retry_schedule",
        ),
        ("SELECT", "INSERT", "UPDATE"),
    ),
    # A trigger of the first writes the event to the outbox.
    **dict.fromkeys(("alert_escalation", "escalated_alert"), ("SELECT", "INSERT")),
    "audit_log": ("SELECT", f"INSERT ({AUDIT_COLUMNS})"),
    # Triggers let a tile only grow.
    "audit_tile": ("SELECT", "INSERT", "UPDATE (hashes, entry_ids)"),
    "audit_checkpoint": ("SELECT", "INSERT (origin, size, note)"),
    "lead_note": ("SELECT", "INSERT", "UPDATE (body, updated_at)", "DELETE"),
    "lead_view": ("SELECT", "INSERT", "UPDATE (name, conditions, updated_at)", "DELETE"),
    "revoked_session": ("SELECT", "INSERT"),
    "suppressed_address": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "incident": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "collected_alert": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "canary": ("SELECT", "INSERT", "DELETE"),
    "canary_result": ("SELECT", "INSERT", "UPDATE"),
    # A trigger inserts. The relay locks rows, for which PostgreSQL requires UPDATE of a column.
    "lead_event_outbox": ("SELECT", "UPDATE (position)", "DELETE"),
    **dict.fromkeys(
        (
            "schema_migration",
            "row_count",
            "digest_key",
            "queue_replay_result",
            "lead_response",
            "lead_dimension",
            "lead_summary",
            "lead_summary_state",
            "audit_event_id",
            "audit_archive",
        ),
        ("SELECT",),
    ),
}
# Without the trigger functions: a trigger needs no EXECUTE right of the role that fires it.
FUNCTIONS: Final = (
    "search_form(text)",
    "search_patterns(text[])",
    "lead_search_text(text, text, text, text, text, text, text, jsonb)",
    "record_address_hashes(bytea)",
    "record_addresses(bytea)",
    "record_site(text, bytea)",
    "erase_lead(uuid, text)",
    "erase_record(uuid, text)",
    "request_statistics()",
    "refresh_statistics()",
    "refresh_lead_summary()",
    "audit_partitions()",
    "create_audit_partitions()",
)
# A client whose machine vanishes inside a transaction leaves its locks behind, until the operating system of
# the server notices that: after two hours by default, and after half a minute with these settings (seconds;
# the last one milliseconds). idle_in_transaction_session_timeout is no way to do it: the transaction that
# holds the lock of a scheduled job is idle for as long as the job runs.
GONE_CLIENT_SETTINGS: Final = {
    "tcp_keepalives_idle": 15,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def rights_sql(role: str) -> str:
    """Return the SQL that revokes all rights of PUBLIC and the role, then grants the role what it needs."""
    tables = "; ".join(
        f"GRANT {', '.join(rights)} ON public.{table} TO {role}" for table, rights in GRANTS.items()
    )
    functions = ", ".join(f"public.{function}" for function in FUNCTIONS)
    return f"""
        REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}, PUBLIC;
        REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {role}, PUBLIC;
        REVOKE CREATE ON SCHEMA public FROM {role}, PUBLIC;
        GRANT USAGE ON SCHEMA public TO {role};
        {tables};
        ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION {functions} TO {role};
    """


async def grant_rights(connection: Connection, service_url: str) -> None:
    """Create the services' role if it does not exist, and grant it exactly what the services need."""
    parts = urlsplit(service_url)
    role, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not role or role == await connection.fetchval("SELECT current_user"):
        return
    name, secret = await connection.fetchrow("SELECT quote_ident($1), quote_literal($2)", role, password) or (
        "",
        "",
    )
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD {secret}")
    # The owner's functions, not those of an extension that another role installed.
    functions = await connection.fetchval(
        "SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND pg_get_userbyid(proowner) = current_user"
    )
    async with connection.transaction():  # a running service never sees itself without rights
        await connection.execute(f"REVOKE ALL ON ROUTINE {functions} FROM PUBLIC, {name}; {rights_sql(name)}")
        await _restrict_database(connection, name)


async def _restrict_database(connection: Connection, role: str) -> None:
    """Revoke the rights to create schemas and temporary tables in the database.

    A temporary table could replace a table of the same name in a query. If the current role does not own the
    database, nothing is revoked, and the doctor reports it.
    """
    if database := await _owned_database(connection):
        await connection.execute(f"REVOKE TEMPORARY, CREATE ON DATABASE {database} FROM PUBLIC, {role}")


async def end_sessions_of_gone_clients(connection: Connection) -> None:
    """Let new sessions of the database notice a client that is gone. Does nothing if another role owns it."""
    if database := await _owned_database(connection):
        for setting, value in GONE_CLIENT_SETTINGS.items():
            await connection.execute(f"ALTER DATABASE {database} SET {setting} = {value}")


async def _owned_database(connection: Connection) -> str | None:
    """Return the name of the database, quoted for SQL, or None if another role owns it."""
    name: str | None = await connection.fetchval(
        "SELECT quote_ident(datname) FROM pg_database"
        " WHERE datname = current_database() AND pg_has_role(current_user, datdba, 'USAGE')"
    )
    return name
