-- name: insert_entry$
-- Append one audit entry; nothing comes back where it is there already: the failure is a repeat.
INSERT INTO audit_log (event_id, event, actor, details_json, lead_id, request_id)
VALUES (:event_id, :event, :actor, :details, :lead_id, :request_id)
ON CONFLICT (event_id) DO NOTHING
RETURNING id;

-- name: find_row^
-- The row of a lead's trouble, or of an origin, locked until its change is committed.
SELECT id, state, attempts, next_attempt_at FROM replay_queue
WHERE stage = :stage AND kind = :kind
  AND CASE WHEN :by_origin::boolean
      THEN (by_origin OR lead_id IS NULL)
           AND (origin_topic, origin_partition, origin_offset)
             = (:origin_topic::text, :origin_partition::int, :origin_offset::bigint)
      ELSE NOT by_origin AND lead_id = :lead_id::uuid END
FOR UPDATE;

-- name: insert_row!
-- A lead's first failure in a stage.
INSERT INTO replay_queue (id, stage, kind, lead_id, state, final, by_origin, reason, error, attempts,
                          next_attempt_at, origin_topic, origin_partition, origin_offset, origin_timestamp,
                          origin_group, record_key, payload, headers, first_failed_at, last_failed_at)
VALUES (:id, :stage, :kind, :lead_id, :state, :final, :by_origin, :reason, :error, :attempts, :next_attempt_at,
        :origin_topic, :origin_partition, :origin_offset, :origin_timestamp, :origin_group, :record_key, :payload,
        :headers, :failed_at, :failed_at);

-- name: update_row!
-- A later failure: the first origin and the last reason are kept.
UPDATE replay_queue
SET state = :state, final = final OR :final, reason = :reason, error = :error, attempts = :attempts,
    next_attempt_at = :next_attempt_at, payload = coalesce(payload, :payload), record_key = coalesce(record_key, :record_key),
    requested_at = CASE WHEN :state = 'waiting' THEN requested_at END,
    requested_by = CASE WHEN :state = 'waiting' THEN requested_by END,
    last_failed_at = greatest(last_failed_at, :failed_at), updated_at = now()
WHERE id = :id;

-- name: claim_due
-- What is due, or was asked for; rows in another flusher's hands are passed over.
SELECT id, stage, kind, lead_id, state, final, by_origin, reason, error, attempts, next_attempt_at, requested_at,
       requested_by, origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group, record_key,
       payload, headers, last_failed_at
FROM replay_queue
WHERE state IN ('waiting', 'replaying') AND stage <> 'site'
  AND (next_attempt_at <= :now OR (state = 'waiting' AND requested_at IS NOT NULL))
ORDER BY next_attempt_at
LIMIT :limit
FOR UPDATE SKIP LOCKED;

-- name: claim_requested
-- Only what was asked for: the poll between the ticks.
SELECT id, stage, kind, lead_id, state, final, by_origin, reason, error, attempts, next_attempt_at, requested_at,
       requested_by, origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group, record_key,
       payload, headers, last_failed_at
FROM replay_queue
WHERE state = 'waiting' AND requested_at IS NOT NULL AND stage <> 'site'
ORDER BY requested_at
LIMIT :limit
FOR UPDATE SKIP LOCKED;

-- name: mark_sent!
-- Sent and acknowledged: the stage answers by resolving the row or by failing again.
UPDATE replay_queue
SET state = 'replaying', attempts = :attempts, next_attempt_at = :next_attempt_at, requested_at = NULL,
    requested_by = NULL, last_sent_at = :now, updated_at = now()
WHERE id = :id;

-- name: lock_job$
-- One run of a job at a time, whoever runs it. The lock ends with the transaction (poolers keep no session).
SELECT pg_try_advisory_xact_lock(hashtextextended('fastcore job ' || :name, 0));

-- name: register_job^
-- Make the job known; say whether a run was missed while nobody was there.
INSERT INTO scheduled_job (name, schedule, next_run_at) VALUES (:name, :schedule, :next_run_at)
ON CONFLICT (name) DO UPDATE
SET schedule = excluded.schedule, next_run_at = least(scheduled_job.next_run_at, excluded.next_run_at)
RETURNING coalesce(next_run_at < now(), false) AS overdue;

-- name: start_job!
UPDATE scheduled_job
SET runs = runs + 1, last_started_at = :started_at, last_finished_at = NULL, last_outcome = 'running',
    last_duration_ms = NULL, last_details = '{}'
WHERE name = :name;

-- name: finish_job!
UPDATE scheduled_job
SET last_finished_at = now(), last_outcome = :outcome, last_duration_ms = :duration_ms, last_details = :details,
    next_run_at = :next_run_at
WHERE name = :name;
