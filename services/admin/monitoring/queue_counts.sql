-- The queries of monitoring/queue_counts.py. All run in one snapshot.

-- name: snapshot_time$
-- The time of this snapshot.
SELECT now();

-- name: count_rows
-- The rows of each table by state. Triggers count them (migration 0004).
SELECT table_name, stage, state, made_by, sum(rows)::bigint AS rows
FROM row_count GROUP BY table_name, stage, state, made_by HAVING sum(rows) <> 0;

-- name: count_due
-- The rows that the flusher would send now, and the oldest open row, by stage. Reads only the open rows.
SELECT stage, count(*) FILTER (WHERE next_attempt_at <= now()
                                  OR (state = 'waiting' AND requested_at IS NOT NULL)) AS due,
       min(first_failed_at) AS oldest_open_at
FROM replay_queue WHERE state IN ('waiting', 'replaying') GROUP BY stage;

-- name: list_stage_controls
-- The stages' circuit breakers.
SELECT stage, paused, reason FROM stage_control;

-- name: sum_ledger
-- The ledger's counts, summed over partitions and epochs.
SELECT stage, topic, sum(next_offset - base_offset)::bigint AS offsets, sum(stored)::bigint AS stored,
       sum(duplicate)::bigint AS duplicate, sum(parked)::bigint AS parked,
       sum(undecodable)::bigint AS undecodable, sum(missing)::bigint AS missing
FROM partition_ledger GROUP BY stage, topic;

-- name: recount_rows
-- The counts that differ from the rows. Scans whole tables, so no page uses it.
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
