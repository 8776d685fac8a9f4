-- The counts behind queue statistics and books, all taken in one snapshot.

-- name: snapshot_time$
-- The moment that this snapshot shows.
SELECT now();

-- name: count_rows
-- The rows of the counted tables by their state, as of this snapshot: kept by triggers (migration 0004).
SELECT table_name, stage, state, made_by, sum(rows)::bigint AS rows
FROM row_count GROUP BY table_name, stage, state, made_by HAVING sum(rows) <> 0;

-- name: count_due
-- What a run of the job would send now, and the oldest open row, by stage. Only the open rows are read.
SELECT stage, count(*) FILTER (WHERE next_attempt_at <= now()
                                  OR (state = 'waiting' AND requested_at IS NOT NULL)) AS due,
       min(first_failed_at) AS oldest_open_at
FROM replay_queue WHERE state IN ('waiting', 'replaying') GROUP BY stage;

-- name: list_stage_controls
-- Which stage is paused by its breaker.
SELECT stage, paused, reason FROM stage_control;

-- name: sum_pages
-- The books' pages, summed over partitions and epochs.
SELECT stage, topic, sum(next_offset - base_offset)::bigint AS offsets, sum(stored)::bigint AS stored,
       sum(duplicate)::bigint AS duplicate, sum(parked)::bigint AS parked,
       sum(undecodable)::bigint AS undecodable, sum(missing)::bigint AS missing
FROM partition_ledger GROUP BY stage, topic;

-- name: recount_rows
-- Where the counts differ from the rows themselves: reads the tables whole, so no page asks it.
WITH counted AS (
    SELECT 'lead_inbox' AS table_name, NULL AS stage, status AS state,
           CASE WHEN stored THEN 'persister' ELSE 'admin' END AS made_by, count(*) AS rows
    FROM lead_inbox GROUP BY status, stored
    UNION ALL SELECT 'email_delivery', NULL, state, NULL, count(*) FROM email_delivery GROUP BY state
    UNION ALL SELECT 'replay_queue', stage, state, made_by, count(*) FROM replay_queue GROUP BY stage, state, made_by
    UNION ALL SELECT table_name, stage, state, made_by, -rows FROM row_count
)
SELECT table_name, stage, state, made_by, sum(rows)::bigint AS difference
FROM counted GROUP BY table_name, stage, state, made_by HAVING sum(rows) <> 0
ORDER BY table_name, stage, state, made_by;
