-- name: origin_times
-- The timestamps of the failed records of these rows.
SELECT id, origin_timestamp FROM replay_queue WHERE id = ANY(:ids::uuid[]);

-- name: erased_leads
-- Which of these leads are erased.
SELECT id FROM lead_inbox WHERE id = ANY(:ids::uuid[]) AND status = 'erased';

-- name: find_by_id^
-- The row from which the failed record was sent, locked.
SELECT id, stage, kind, lead_id, state, final, by_origin, replay_lead_id, reason, error, attempts, requested_at,
       requested_by, requested_comment, origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group,
       record_key, payload, headers
FROM replay_queue WHERE id = :id AND stage = :stage AND kind = :kind FOR UPDATE;

-- name: find_by_lead^
-- The row of a lead's failed effect, locked.
SELECT id, stage, kind, lead_id, state, final, by_origin, replay_lead_id, reason, error, attempts, requested_at,
       requested_by, requested_comment, origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group,
       record_key, payload, headers
FROM replay_queue
WHERE stage = :stage AND lead_id = :lead_id AND kind = :kind AND NOT by_origin
FOR UPDATE;

-- name: find_by_origin^
-- A row that is identified by the origin of its record, locked.
SELECT id, stage, kind, lead_id, state, final, by_origin, replay_lead_id, reason, error, attempts, requested_at,
       requested_by, requested_comment, origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group,
       record_key, payload, headers
FROM replay_queue
WHERE stage = :stage AND origin_topic = :topic AND origin_partition = :partition AND origin_offset = :offset
  AND kind = :kind AND (lead_id IS NULL OR by_origin)
FOR UPDATE;

-- name: insert_row$
-- Store a first failure. Returns null where an admin created the row at the same moment.
INSERT INTO replay_queue (id, stage, kind, lead_id, state, final, by_origin, replay_lead_id, reason, error, attempts,
                          next_attempt_at, origin_topic, origin_partition, origin_offset, origin_timestamp,
                          origin_group, record_key, payload, headers, first_failed_at, last_failed_at)
VALUES (:id, :stage, :kind, :lead_id, :state, :final, :by_origin, :replay_lead_id, :reason, :error, :attempts,
        :next_attempt_at, :topic, :partition, :offset, :origin_at, :origin_group, :key, :payload, :headers,
        :failed_at, :failed_at)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: note_failure!
-- Update the last reason of a row. Its state, and whether it is final, do not change.
UPDATE replay_queue
SET reason = :reason, error = :error, last_failed_at = greatest(last_failed_at, :failed_at), updated_at = now()
WHERE id = :id;

-- name: move_row!
-- Change the state of a row after a failure. A row that is now a conflict is identified by its origin.
UPDATE replay_queue
SET state = :state, final = :final, attempts = :attempts, next_attempt_at = :next_attempt_at,
    by_origin = by_origin OR :by_origin, replay_lead_id = coalesce(replay_lead_id, :replay_lead_id),
    reason = :reason, error = :error, requested_at = NULL, requested_by = NULL,
    last_failed_at = greatest(last_failed_at, :failed_at), updated_at = now()
WHERE id = :id;

-- name: renew_row!
-- Reuse a resolved row for the record that failed now; its old payload was deleted.
UPDATE replay_queue
SET state = :state, final = :final, attempts = :attempts, next_attempt_at = :next_attempt_at,
    by_origin = by_origin OR :by_origin, replay_lead_id = coalesce(replay_lead_id, :replay_lead_id),
    reason = :reason, error = :error, requested_at = NULL, requested_by = NULL,
    origin_topic = :topic, origin_partition = :partition, origin_offset = :offset,
    origin_timestamp = :origin_at, origin_group = :origin_group,
    record_key = :key, payload = :payload, headers = :headers, last_failed_at = :failed_at, updated_at = now()
WHERE id = :id;

-- name: list_due_targets
-- The targets of the due rows (retry_rules.Row.target computes the same).
SELECT DISTINCT stage, CASE WHEN by_origin OR stage = 'site' THEN origin_topic ELSE stage END AS target
FROM replay_queue
WHERE state IN ('waiting', 'replaying') AND next_attempt_at <= :now;

-- name: list_requested_targets
-- The targets of the requested rows. Queried every second.
SELECT DISTINCT stage, CASE WHEN by_origin OR stage = 'site' THEN origin_topic ELSE stage END AS target
FROM replay_queue
WHERE state = 'waiting' AND requested_at IS NOT NULL;

-- name: claim_due
-- The due rows for one target, oldest first. Rows locked by another flusher are skipped.
SELECT id, stage, kind, lead_id, state, final, by_origin, replay_lead_id, reason, error, attempts, requested_at,
       requested_by, requested_comment, origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group,
       record_key, payload, headers
FROM replay_queue
WHERE state IN ('waiting', 'replaying') AND next_attempt_at <= :now
  AND stage = :stage AND CASE WHEN by_origin OR stage = 'site' THEN origin_topic ELSE stage END = :target
ORDER BY next_attempt_at
LIMIT :chunk
FOR UPDATE SKIP LOCKED;

-- name: claim_requested
-- The requested rows for one target.
SELECT id, stage, kind, lead_id, state, final, by_origin, replay_lead_id, reason, error, attempts, requested_at,
       requested_by, requested_comment, origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group,
       record_key, payload, headers
FROM replay_queue
WHERE state = 'waiting' AND requested_at IS NOT NULL
  AND stage = :stage AND CASE WHEN by_origin OR stage = 'site' THEN origin_topic ELSE stage END = :target
ORDER BY requested_at
LIMIT :chunk
FOR UPDATE SKIP LOCKED;

-- name: move_to_end!
-- Move rows that could not be sent behind the other rows. A row at the head that always fails would stop all
-- others.
UPDATE replay_queue
SET next_attempt_at = :now, requested_at = CASE WHEN requested_at IS NOT NULL THEN now() END
WHERE id = ANY(:ids::uuid[]) AND state IN ('waiting', 'replaying');

-- name: claim_replay^
-- A running replay that no flusher has worked at for a second. A time in the future was written before a clock was
-- set back, so it counts as past. The replay is locked until the tick ends. A cancellation waits for the lock, so
-- nothing is sent after it.
SELECT id, requested_by, comment, per_second FROM queue_replay
WHERE finished_at IS NULL AND cancelled_at IS NULL
  AND (last_turn_at IS NULL
       OR last_turn_at NOT BETWEEN :now::timestamptz - interval '0.9 seconds'
                               AND :now::timestamptz + interval '0.9 seconds')
ORDER BY last_turn_at NULLS FIRST, created_at
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: claim_replay_rows
-- The next rows of a replay. Locked rows and rows for an unavailable target are left for a later tick. Rows that
-- were tried and not sent come after the others.
SELECT q.id, q.stage, q.kind, q.lead_id, q.state, q.final, q.by_origin, q.replay_lead_id, q.reason, q.error,
       q.attempts, q.requested_at, q.requested_by, q.requested_comment, q.origin_topic, q.origin_partition,
       q.origin_offset, q.origin_timestamp, q.origin_group, q.record_key, q.payload, q.headers
FROM queue_replay_item AS item JOIN replay_queue AS q ON q.id = item.queue_id
WHERE item.replay_id = :replay_id AND item.turn_at IS NULL
  AND (q.stage = 'site' OR NOT :sites_only::boolean)
  AND q.stage || ' ' || CASE WHEN q.by_origin OR q.stage = 'site' THEN q.origin_topic ELSE q.stage END
      <> ALL(:without::text[])
ORDER BY item.tried_at NULLS FIRST, item.queue_id
LIMIT :chunk
FOR UPDATE OF q SKIP LOCKED;

-- name: end_tick!
-- Record the tick of these rows; after the last row the replay is finished. Rows that were not sent count as tried.
WITH tried AS (
    UPDATE queue_replay_item SET tried_at = :now
    WHERE replay_id = :replay_id AND queue_id = ANY(:postpone::uuid[])
), turn AS (
    UPDATE queue_replay_item SET turn_at = :now, skipped = (queue_id = ANY(:skipped::uuid[]))
    WHERE replay_id = :replay_id AND queue_id = ANY(:ids::uuid[])
    RETURNING 1
)
UPDATE queue_replay
SET last_turn_at = :now, taken = taken + (SELECT count(*) FROM turn),
    finished_at = CASE WHEN taken + (SELECT count(*) FROM turn) = wanted THEN :now::timestamptz END
WHERE id = :replay_id;

-- name: mark_sent!
-- Kafka acknowledged these rows: wait for the stage's result, and send again if none comes by `overdue_at`.
UPDATE replay_queue q
SET state = 'replaying', final = false, attempts = d.attempts, next_attempt_at = :overdue_at,
    requested_at = NULL, requested_by = NULL, requested_comment = NULL, last_sent_at = :now, updated_at = now()
FROM unnest(:ids::uuid[], :attempts::int[]) AS d (id, attempts)
WHERE q.id = d.id;

-- name: resolve_rows!
-- The gateway accepted these leads, so their payload is not needed any more.
UPDATE replay_queue
SET state = 'resolved', final = false, payload = NULL, original_payload = NULL, next_attempt_at = NULL,
    requested_at = NULL, requested_by = NULL, requested_comment = NULL, last_sent_at = :now, updated_at = now()
WHERE id = ANY(:ids::uuid[]);

-- name: mark_dead!
-- A row that can never be sent.
UPDATE replay_queue
SET state = 'dead', final = true, reason = :reason, next_attempt_at = NULL, requested_at = NULL,
    requested_by = NULL, updated_at = now()
WHERE id = :id;

-- name: mark_mail_dead^
-- Mark the mail of a dead row as dead. The notifier publishes a failure before it commits the outcome: while the mail
-- is in progress, it finds the failure's id here and commits `dead` instead of `waiting`.
UPDATE email_delivery
SET state = CASE state WHEN 'waiting' THEN 'dead' ELSE state END,
    settled_by = CASE state WHEN 'waiting' THEN settled_by ELSE :failure_id END, updated_at = now()
WHERE lead_id = :lead_id AND kind = :kind AND state IN ('waiting', 'reserved', 'sending')
RETURNING state, attempts;
