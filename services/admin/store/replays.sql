-- Queries of store/replays.py: replays of many rows by a filter.

-- name: choose_rows
-- The rows that a filter means, counted by what they are and whether they can be replayed; these become
-- items of the replay, where one is given. Preview and replay are this one statement, so they agree.
-- Of what cannot be replayed some ids are named.
WITH meant AS MATERIALIZED (
    SELECT id, stage, kind, state, reason, payload IS NOT NULL AS has_payload,
           EXISTS (SELECT 1 FROM lead_inbox AS lead
               WHERE lead.id = coalesce(replay_lead_id, lead_id) AND lead.status = 'erased') AS erased
    FROM replay_queue
    WHERE state = ANY(:states::text[])
      AND (:stage::text IS NULL OR stage = :stage)
      AND (:kind::text IS NULL OR kind = :kind)
      AND (:reason::text IS NULL OR reason = :reason)
      AND (:ids::uuid[] IS NULL OR id = ANY(:ids::uuid[]))
      AND (:since::timestamptz IS NULL OR last_failed_at >= :since)
      AND (:until::timestamptz IS NULL OR last_failed_at < :until)
), judged AS (
    SELECT id, stage, kind, state, reason, has_payload, erased,
           state = ANY(:replayable_states::text[]) AND has_payload AND NOT erased AS replayable
    FROM meant
), chosen AS (
    INSERT INTO queue_replay_item (replay_id, queue_id)
    SELECT :replay_id::uuid, id FROM judged WHERE replayable AND :replay_id::uuid IS NOT NULL
)
SELECT stage, kind, state, reason, has_payload, erased, replayable, count(*) AS rows,
       (sum(count(*)) FILTER (WHERE replayable) OVER ())::bigint AS wanted,
       (array_agg(id) FILTER (WHERE NOT replayable))[1 : 1000] AS blocked_ids
FROM judged
GROUP BY stage, kind, state, reason, has_payload, erased, replayable
ORDER BY replayable DESC, rows DESC, stage, kind, state, reason
LIMIT :limit::bigint;

-- name: unknown_ids
-- Which of these ids no row has.
SELECT given.id FROM unnest(:ids::uuid[]) AS given (id)
WHERE NOT EXISTS (SELECT 1 FROM replay_queue AS q WHERE q.id = given.id)
ORDER BY given.id;

-- name: start_replay^
-- From this commit on a flusher takes its rows, so many a second.
INSERT INTO queue_replay (id, requested_by, comment, filter, per_second, wanted)
VALUES (:id, :actor, :comment, :filter, :per_second, :wanted)
RETURNING id, requested_by, comment, filter, per_second, wanted, taken, created_at, finished_at, cancelled_at,
          cancelled_by;

-- name: list_replays
-- The history of replays, newest first.
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
-- What became of the rows that had their turn, which go in the order of their ids.
SELECT result, count(*) AS rows FROM (
    SELECT result FROM queue_replay_result WHERE replay_id = :id AND turn_at IS NOT NULL
    ORDER BY queue_id LIMIT :taken::bigint
) AS turns GROUP BY result;

-- name: sample_results
-- The same of a sample: the ids are random, so points at even distances over `share` of them meet rows by chance.
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
-- The last of so many rows of a replay that a page looks at; null where there are fewer.
SELECT queue_id FROM queue_replay_item
WHERE replay_id = :id AND (:after::uuid IS NULL OR queue_id > :after)
  AND (:result::text IS NULL OR (turn_at IS NULL) = (:result IN ('queued', 'cancelled')))
ORDER BY queue_id OFFSET :window::int - 1 LIMIT 1;

-- name: list_results
-- A page of what became of a replay's rows, up to the end of the window.
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
-- Stop a running replay; waits for a turn in hand, a few seconds at most.
UPDATE queue_replay SET cancelled_at = now(), cancelled_by = :actor
WHERE id = :id AND finished_at IS NULL AND cancelled_at IS NULL
RETURNING id, requested_by, comment, filter, per_second, wanted, taken, created_at, finished_at, cancelled_at,
          cancelled_by;
