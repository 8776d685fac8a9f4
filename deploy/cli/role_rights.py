"""The rights of the services' role.

`migrate` grants them, and the doctor compares the role's rights with them.
"""

from typing import Final

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
