-- The queries of store/replays.py: replays of many rows by a filter. `is_selected` is true if a row matches it.

-- name: choose_rows
-- The rows that match a filter, counted by group and by whether they can be replayed. With a `replay_id`, those that can
-- become items of that replay. One statement for preview and replay, so that they agree. Rows that cannot be replayed
-- come with up to 1,000 ids.
WITH matching AS MATERIALIZED (
    SELECT id, stage, kind, state, reason, payload IS NOT NULL AS has_payload,
           EXISTS (SELECT 1 FROM lead_inbox AS lead
               WHERE lead.id = coalesce(replay_lead_id, lead_id) AND lead.status = 'erased') AS erased
    FROM replay_queue
    WHERE {is_selected}
), checked AS (
    SELECT id, stage, kind, state, reason, has_payload, erased,
           state = ANY(:replayable_states::text[]) AND has_payload AND NOT erased AS replayable
    FROM matching
), chosen AS (
    INSERT INTO queue_replay_item (replay_id, queue_id)
    SELECT :replay_id::uuid, id FROM checked WHERE replayable AND :replay_id::uuid IS NOT NULL
)
SELECT stage, kind, state, reason, has_payload, erased, replayable, count(*) AS rows,
       (sum(count(*)) FILTER (WHERE replayable) OVER ())::bigint AS wanted,
       (array_agg(id) FILTER (WHERE NOT replayable))[1 : 1000] AS blocked_ids
FROM checked
GROUP BY stage, kind, state, reason, has_payload, erased, replayable
ORDER BY replayable DESC, rows DESC, stage, kind, state, reason
LIMIT :limit::bigint;

-- name: unknown_ids
-- The ids that no row has.
SELECT selected.id FROM unnest(:ids::uuid[]) AS selected (id)
WHERE NOT EXISTS (SELECT 1 FROM replay_queue AS q WHERE q.id = selected.id)
ORDER BY selected.id;

-- name: start_replay^
-- Start a replay. From this commit on a flusher sends its rows, `per_second` at most.
INSERT INTO queue_replay (id, requested_by, comment, filter, per_second, wanted)
VALUES (:id, :actor, :comment, :filter, :per_second, :wanted)
RETURNING id, requested_by, comment, filter, per_second, wanted, taken, created_at, finished_at, cancelled_at,
          cancelled_by;

-- name: list_replays
-- A page of the replays, newest first.
SELECT id, requested_by, comment, filter, per_second, wanted, taken, created_at, finished_at, cancelled_at,
       cancelled_by
FROM queue_replay
WHERE (:after_at::timestamptz IS NULL OR (created_at, id) < (:after_at, :after_id::uuid))
ORDER BY created_at DESC, id DESC
LIMIT :limit::bigint;

-- name: get_replay^
-- One replay.
SELECT id, requested_by, comment, filter, per_second, wanted, taken, created_at, finished_at, cancelled_at,
       cancelled_by
FROM queue_replay WHERE id = :id;

-- name: count_results
-- The processed rows by result. Rows are processed in the order of their ids.
SELECT result, count(*) AS rows FROM (
    SELECT result FROM queue_replay_result WHERE replay_id = :id AND turn_at IS NOT NULL
    ORDER BY queue_id LIMIT :taken::bigint
) AS turns GROUP BY result;

-- name: sample_results
-- The same for a sample. Ids are random, so the rows that follow evenly spaced points within `share` of the ids are a
-- random sample.
WITH sample AS MATERIALIZED (
    SELECT DISTINCT item.queue_id FROM generate_series(0, :points::int - 1) AS n
    CROSS JOIN LATERAL (
        SELECT queue_id FROM queue_replay_item
        WHERE replay_id = :id
          AND queue_id >= rpad(lpad(to_hex(floor(n * :share::float8 / :points * x'7FFFFFFF'::int * 2)::bigint), 8, '0'), 32, '0')::uuid
        ORDER BY queue_id LIMIT 1
    ) AS item
)
SELECT result, count(*) AS rows FROM sample JOIN queue_replay_result USING (queue_id)
WHERE replay_id = :id AND turn_at IS NOT NULL GROUP BY result;

-- name: end_of_window$
-- The last of the rows that one page examines; null if there are fewer.
SELECT queue_id FROM queue_replay_item
WHERE replay_id = :id AND (:after::uuid IS NULL OR queue_id > :after)
  AND (:result::text IS NULL OR (turn_at IS NULL) = (:result IN ('queued', 'cancelled')))
ORDER BY queue_id OFFSET :window::int - 1 LIMIT 1;

-- name: list_results
-- A page of a replay's rows with their results, up to the end of the window.
WITH looked_at AS MATERIALIZED (
    SELECT queue_id FROM queue_replay_item
    WHERE replay_id = :id AND (:after::uuid IS NULL OR queue_id > :after)
      AND (:result::text IS NULL OR (turn_at IS NULL) = (:result IN ('queued', 'cancelled')))
    ORDER BY queue_id LIMIT :window::bigint
)
SELECT queue_id, stage, kind, lead_id, state, reason, turn_at, result
FROM looked_at JOIN queue_replay_result USING (queue_id)
WHERE replay_id = :id AND (:result::text IS NULL OR result = :result)
ORDER BY queue_id
LIMIT :limit::bigint;

-- name: cancel_replay^
-- Cancel a running replay. Waits a few seconds at most for rows that are being sent.
UPDATE queue_replay SET cancelled_at = now(), cancelled_by = :actor
WHERE id = :id AND finished_at IS NULL AND cancelled_at IS NULL
RETURNING id, requested_by, comment, filter, per_second, wanted, taken, created_at, finished_at, cancelled_at,
          cancelled_by;
