-- Leads and records older than the retention period. erase_lead (migration 0009) defines what erasing means.

-- name: list_old_leads
-- Leads received before a time, oldest first, after the last lead of the previous chunk.
SELECT id, created_at_utc FROM lead_inbox
WHERE created_at_utc < :before AND status <> 'erased'
  AND (:after_at::timestamptz IS NULL OR (created_at_utc, id) > (:after_at, :after_id::uuid))
ORDER BY created_at_utc, id
LIMIT :chunk::bigint;

-- name: list_old_parked
-- Leads that were never stored and failed before a time.
SELECT DISTINCT lead_id AS id FROM replay_queue q
WHERE lead_id IS NOT NULL AND payload IS NOT NULL AND first_failed_at < :before
  AND lead_id <> ALL(:without::uuid[])
  AND NOT EXISTS (SELECT FROM lead_inbox l WHERE l.id = q.lead_id)
LIMIT :chunk::bigint;

-- name: empty_old_rows$
-- Empty the records that failed before a time and belong to no lead or to another lead's id.
WITH emptied AS (
    UPDATE replay_queue
    SET payload = NULL, original_payload = NULL, record_key = NULL, headers = '{}', next_attempt_at = NULL,
        requested_at = NULL, requested_comment = NULL, updated_at = now(), state = CASE WHEN state = 'resolved' THEN state ELSE 'archived' END
    WHERE (lead_id IS NULL OR by_origin) AND (payload IS NOT NULL OR original_payload IS NOT NULL)
      AND last_failed_at < :before
    RETURNING id, stage, kind
), audited AS (
    INSERT INTO audit_log (event_id, event, actor, details_json)
    SELECT gen_random_uuid(), 'lead.erased', :actor,
           jsonb_build_object('queue_id', id, 'stage', stage, 'kind', kind)
    FROM emptied
), planned AS MATERIALIZED (
    SELECT request_statistics() FROM emptied LIMIT 1
)
SELECT count(*) + 0 * (SELECT count(*) FROM planned) FROM emptied;

-- name: refresh_statistics$
-- ANALYZE what may hold personal data, with the owner's rights.
SELECT refresh_statistics();

-- name: stop_job!
-- The job is switched off, so it has no next run.
UPDATE scheduled_job SET next_run_at = NULL WHERE name = :name;
