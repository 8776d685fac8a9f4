-- The query of store/recent_outcomes.py, for the overview. It reads a bounded range of an index.

-- name: recent_dead
-- Up to 1,000 deliveries that failed permanently in the last hour. Excludes confirmations, whose recipients may not exist,
-- and duplicates of an idempotency key.
SELECT stage, count(*) AS rows FROM (
    SELECT stage FROM replay_queue
    WHERE state = 'dead' AND last_failed_at > now() - interval '1 hour' AND kind <> 'welcome' AND reason <> 'conflict'
    ORDER BY last_failed_at DESC LIMIT 1000
) AS dead GROUP BY stage;
