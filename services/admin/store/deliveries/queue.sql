-- The queries of store/queue.py: the rows of replay_queue. `is_selected` is true if a row matches a `RowSelection`.

-- name: list_queue
-- A page of the replay queue, the most recent failure first.
SELECT id, stage, kind, lead_id, state, final, reason, error, attempts, next_attempt_at, requested_at,
       requested_by, last_sent_at, origin_topic, origin_partition, origin_offset, made_by, first_failed_at,
       last_failed_at, by_origin, (SELECT name FROM lead_inbox WHERE lead_inbox.id = lead_id) AS lead_name,
       CASE WHEN stage IN ('persister', 'site') AND octet_length(payload) <= 65536 THEN payload END AS payload
FROM replay_queue
WHERE (:stage::text IS NULL OR stage = :stage)
  AND (:kind::text IS NULL OR kind = :kind)
  AND (:state::text IS NULL OR state = :state)
  AND (:reason::text IS NULL OR reason = :reason)
  AND (:lead_id::uuid IS NULL OR lead_id = :lead_id)
  AND (:since::timestamptz IS NULL OR last_failed_at >= :since)
  AND (:until::timestamptz IS NULL OR last_failed_at < :until)
  AND (:after_at::timestamptz IS NULL OR (last_failed_at, id) < (:after_at, :after_id::uuid))
ORDER BY last_failed_at DESC, id DESC
LIMIT :limit::bigint;

-- name: list_groups
-- Rows with the same failure, the largest group first. `total` counts the rows of all groups.
SELECT stage, kind, state, reason, count(*) AS rows, min(first_failed_at) AS oldest_at,
       max(last_failed_at) AS newest_at, (sum(count(*)) OVER ())::bigint AS total
FROM replay_queue
WHERE state = ANY(:states::text[])
  AND (:stage::text IS NULL OR stage = :stage)
  AND (:kind::text IS NULL OR kind = :kind)
GROUP BY stage, kind, state, reason
ORDER BY rows DESC, stage, kind, state, reason
LIMIT :limit::bigint;

-- name: count_waiting$
-- The number of waiting rows. Triggers count them (migration 0004).
SELECT coalesce(sum(rows), 0)::bigint FROM row_count WHERE table_name = 'replay_queue' AND state = 'waiting';

-- name: request_waiting$
-- Request a retry of all waiting rows. A flusher sends them when it polls next.
WITH requested AS (
    UPDATE replay_queue SET requested_at = now(), requested_by = :actor, requested_comment = NULL,
                            updated_at = now()
    WHERE state = 'waiting' RETURNING 1
)
SELECT count(*) FROM requested;

-- name: request_job$
-- Request a run of a job. A flusher starts it when it polls next. Returns the details of the last run.
UPDATE scheduled_job SET requested_at = now() WHERE name = :name RETURNING last_details;

-- name: preview_archive
-- The rows that archive_rows would archive, by failure, the largest group first. `total` counts the rows of all groups.
SELECT stage, kind, state, reason, count(*) AS rows, (sum(count(*)) OVER ())::bigint AS total
FROM replay_queue
WHERE {is_selected}
GROUP BY stage, kind, state, reason
ORDER BY rows DESC, stage, kind, state, reason
LIMIT :limit::bigint;

-- name: archive_rows
-- Archive rows with their payloads, so that they can be replayed later. Writes an audit entry for each row.
WITH archived AS (
    UPDATE replay_queue
    SET state = 'archived', next_attempt_at = NULL, requested_at = NULL, updated_at = now()
    WHERE {is_selected}
    RETURNING id, stage, kind, lead_id, reason
), audited AS (
    INSERT INTO audit_log (event_id, event, actor, details_json, lead_id)
    SELECT gen_random_uuid(), 'lead.archived', :actor,
           jsonb_build_object('queue_id', id, 'stage', stage, 'kind', kind, 'reason', reason), lead_id
    FROM archived
)
SELECT stage, count(*) AS rows FROM archived GROUP BY stage ORDER BY stage;

-- name: lock_row^
-- One row and what decides whether it can be replayed, locked until this transaction ends.
SELECT stage, kind, state, attempts, reason, lead_id, payload IS NOT NULL AS has_payload,
       EXISTS (SELECT 1 FROM lead_inbox AS lead
               WHERE lead.id = coalesce(replay_lead_id, lead_id) AND lead.status = 'erased') AS erased
FROM replay_queue WHERE id = :id FOR UPDATE;

-- name: request_row!
-- Request a replay of this row. A row in a final state gets three new retries.
UPDATE replay_queue
SET attempts = CASE WHEN state = 'waiting' THEN attempts ELSE 0 END,
    next_attempt_at = CASE WHEN state = 'waiting' THEN next_attempt_at ELSE now() END,
    state = 'waiting', final = false, requested_at = now(), requested_by = :actor,
    requested_comment = :comment, updated_at = now()
WHERE id = :id;
