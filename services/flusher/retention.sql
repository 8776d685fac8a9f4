-- What is older than it may be. What erasing means is erase_lead (migration 0003), as for an admin's wish.

-- name: list_old_leads
-- Leads from before a time, oldest first, after the last one seen.
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

-- name: erase_lead$
-- Take the person out of everything that we hold of a lead.
SELECT erase_lead(:id, :actor);

-- name: empty_old_rows$
-- Records that name no lead, for they could not be read, and failed before a time: nobody can ask for these.
WITH emptied AS (
    UPDATE replay_queue
    SET payload = NULL, original_payload = NULL, record_key = NULL, headers = '{}', next_attempt_at = NULL,
        requested_at = NULL, requested_comment = NULL, updated_at = now(), state = CASE WHEN state = 'resolved' THEN state ELSE 'archived' END
    WHERE lead_id IS NULL AND payload IS NOT NULL AND last_failed_at < :before
    RETURNING id, stage, kind
), told AS (
    INSERT INTO audit_log (event_id, event, actor, details_json)
    SELECT gen_random_uuid(), 'lead.erased', :actor,
           jsonb_build_object('queue_id', id, 'stage', stage, 'kind', kind)
    FROM emptied
)
SELECT count(*) FROM emptied;

-- name: stop_job!
-- The job is switched off: nobody waits for its next run.
UPDATE scheduled_job SET next_run_at = NULL WHERE name = :name;
