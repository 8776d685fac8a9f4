-- The queries of store/audit.py.

-- name: list_audit
-- A page of the audit log, newest first.
SELECT id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc
FROM audit_log
WHERE (:event::text IS NULL OR event = :event)
  AND (:lead_id::uuid IS NULL OR lead_id = :lead_id)
  AND (:request_id::text IS NULL OR request_id = :request_id)
  AND (:actor::text IS NULL OR actor = :actor)
  AND (:since::timestamptz IS NULL OR created_at_utc >= :since)
  AND (:until::timestamptz IS NULL OR created_at_utc < :until)
  AND (:after_at::timestamptz IS NULL OR (created_at_utc, id) < (:after_at, :after_id::bigint))
ORDER BY created_at_utc DESC, id DESC
LIMIT :limit::bigint;

-- name: archived_until$
-- Until when entries were archived, if that is after this time.
SELECT max(last_at) FROM audit_archive WHERE :since::timestamptz IS NULL OR last_at >= :since;
-- name: read_seal^
-- The newest checkpoint, and the last runs of the jobs that seal the log and compare it. One row of each. A run that has nothing
-- to seal signs nothing, but all entries of before it are sealed.
SELECT checkpoint.size, checkpoint.note,
       greatest(checkpoint.created_at, CASE sealing.last_outcome WHEN 'succeeded' THEN sealing.last_started_at END) AS sealed_until,
       CASE sealing.last_outcome WHEN 'failed' THEN sealing.last_details->>'reason' END AS seal_failure,
       job.last_outcome, job.last_finished_at, job.last_details->>'reason' AS check_failure
FROM (SELECT size, note, created_at FROM audit_checkpoint ORDER BY number DESC LIMIT 1) AS checkpoint
LEFT JOIN scheduled_job AS sealing ON sealing.name = 'audit_seal'
LEFT JOIN scheduled_job AS job ON job.name = 'audit_check';

-- name: list_audit_of_actor
-- The same for one actor: the newest entries of each event from an index, then the newest of those.
SELECT id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc
FROM unnest(:events::text[]) AS selected (event)
CROSS JOIN LATERAL (
    SELECT id, actor, status_code, details_json, lead_id, request_id, created_at_utc FROM audit_log
    WHERE actor = :actor AND audit_log.event = selected.event
      AND (:since::timestamptz IS NULL OR created_at_utc >= :since)
      AND (:until::timestamptz IS NULL OR created_at_utc < :until)
      AND (:after_at::timestamptz IS NULL OR (created_at_utc, id) < (:after_at, :after_id::bigint))
    ORDER BY created_at_utc DESC, id DESC LIMIT :limit::bigint
) AS entry
ORDER BY created_at_utc DESC, id DESC
LIMIT :limit::bigint;
