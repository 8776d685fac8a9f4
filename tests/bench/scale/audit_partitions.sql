-- Copies of the audit log with other layouts, for docs/decisions/0065. Each has the indexes of audit_log.

-- name: months
-- The months of the entries.
SELECT month, month + interval '1 month' AS next FROM generate_series(
    (SELECT date_trunc('month', min(created_at_utc)) FROM audit_log),
    (SELECT date_trunc('month', max(created_at_utc)) FROM audit_log), interval '1 month') AS month;

-- name: id_range^
-- The first and the last id.
SELECT min(id) AS first, max(id) AS last FROM audit_log;

-- name: fill_by_month!
-- Copy the entries into the partitions by month.
INSERT INTO audit_by_month OVERRIDING SYSTEM VALUE SELECT * FROM audit_log ORDER BY id;

-- name: fill_by_id!
-- Copy the entries into the partitions by id, and their event ids into a table of their own, which keeps them unique.
INSERT INTO audit_by_id OVERRIDING SYSTEM VALUE SELECT * FROM audit_log ORDER BY id;

-- name: fill_event_ids!
-- Copy the event ids of all entries.
INSERT INTO audit_event_id SELECT event_id FROM audit_log ORDER BY id;

-- name: insert_into_log
-- As runtime/database/audit_log.sql.
INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc)
SELECT * FROM json_to_recordset(:entries::json)
    AS entry (event_id uuid, event text, actor text, status_code integer, details_json jsonb, lead_id uuid, request_id text,
              created_at_utc timestamptz)
ON CONFLICT (event_id) DO NOTHING RETURNING event_id;

-- name: insert_by_month
-- A repeated entry has the time of the first: its event id and its time are unique together.
INSERT INTO audit_by_month (event_id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc)
SELECT * FROM json_to_recordset(:entries::json)
    AS entry (event_id uuid, event text, actor text, status_code integer, details_json jsonb, lead_id uuid, request_id text,
              created_at_utc timestamptz)
ON CONFLICT (event_id, created_at_utc) DO NOTHING RETURNING event_id;

-- name: insert_by_id
-- Only entries whose event id is new.
WITH entry AS (
    SELECT * FROM json_to_recordset(:entries::json)
        AS entry (event_id uuid, event text, actor text, status_code integer, details_json jsonb, lead_id uuid,
                  request_id text, created_at_utc timestamptz)
), new AS (
    INSERT INTO audit_event_id SELECT event_id FROM entry ON CONFLICT DO NOTHING RETURNING event_id
)
INSERT INTO audit_by_id (event_id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc)
SELECT entry.* FROM entry JOIN new USING (event_id) RETURNING event_id;
