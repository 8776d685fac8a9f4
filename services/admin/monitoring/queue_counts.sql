-- The queries of monitoring/queue_counts.py. All run in one snapshot.

-- name: snapshot_time$
-- The time of this snapshot.
SELECT now();

-- name: count_rows
-- The rows of each table by state. Triggers count them (migrations 0004 and 0031).
SELECT table_name, stage, state, made_by, sum(rows)::bigint AS rows
FROM row_count GROUP BY table_name, stage, state, made_by HAVING sum(rows) <> 0;

-- name: count_due
-- The rows that the flusher would send now, and the oldest open row, by stage. Reads only the open rows.
SELECT stage, count(*) FILTER (WHERE next_attempt_at <= now()
                                  OR (state = 'waiting' AND requested_at IS NOT NULL)) AS due,
       min(first_failed_at) AS oldest_open_at
FROM replay_queue WHERE state IN ('waiting', 'replaying') GROUP BY stage;

-- name: count_dead_notifications$
-- The notifications to the team that failed permanently. Reads the index of groups.
SELECT count(*) FROM replay_queue WHERE state = 'dead' AND stage = 'notifier' AND kind = 'admin_alert';

-- name: list_stage_controls
-- The stages' circuit breakers.
SELECT stage, paused, reason FROM stage_control;

-- name: sum_ledger
-- The ledger's counts, summed over partitions and epochs.
SELECT stage, topic, sum(next_offset - base_offset)::bigint AS offsets, sum(stored)::bigint AS stored,
       sum(duplicate)::bigint AS duplicate, sum(parked)::bigint AS parked,
       sum(undecodable)::bigint AS undecodable, sum(missing)::bigint AS missing,
       sum(canary)::bigint AS canary
FROM partition_ledger GROUP BY stage, topic;

-- name: count_outbox$
-- How many events of the outbox wait to be published.
SELECT count(*) FROM lead_event_outbox;

-- name: recount_rows
-- The counts that differ from the rows. Scans whole tables, so no page uses it. For the outbox, the triggers count
-- written events, and published events as a negative number. Their sum is the number of waiting events.
WITH counted AS (
    SELECT 'lead_inbox' AS table_name, NULL AS stage, status AS state,
           CASE WHEN stored THEN 'persister' ELSE 'admin' END AS made_by, count(*) AS rows
    FROM lead_inbox GROUP BY status, stored
    UNION ALL SELECT 'email_delivery', NULL, state, NULL, count(*) FROM email_delivery GROUP BY state
    UNION ALL SELECT 'replay_queue', stage, state, made_by, count(*) FROM replay_queue GROUP BY stage, state, made_by
    UNION ALL SELECT 'webhook_delivery', NULL,
                     CASE WHEN state IN ('pending', 'failed', 'sending') THEN 'waiting' ELSE state END, NULL, count(*)
              FROM webhook_delivery GROUP BY 3
    UNION ALL SELECT 'webhook_event', NULL, 'wanted', NULL, sum(delivery_count) FROM webhook_event
    UNION ALL SELECT 'lead_event_outbox', NULL, 'waiting', NULL, count(*) FROM lead_event_outbox
    UNION ALL SELECT table_name, stage, CASE table_name WHEN 'lead_event_outbox' THEN 'waiting' ELSE state END, made_by,
                     -rows FROM row_count
)
SELECT table_name, stage, state, made_by, sum(rows)::bigint AS difference
FROM counted GROUP BY table_name, stage, state, made_by HAVING sum(rows) <> 0
ORDER BY table_name, stage, state, made_by;
