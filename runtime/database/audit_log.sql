-- name: insert_entries
-- Append entries from one JSON text, which costs the driver less than an array per column. An existing entry is not
-- changed and not returned.
INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc)
SELECT event_id, event, actor, status_code, details, lead_id, request_id,
       CASE WHEN :database_time::boolean THEN now() ELSE occurred_at END
FROM json_to_recordset(:entries::json)
    AS entry (event_id uuid, event text, actor text, status_code integer, details jsonb, lead_id uuid, request_id text,
              occurred_at timestamptz)
ON CONFLICT DO NOTHING
RETURNING event_id;
