-- The counts behind queue statistics and books, all taken in one snapshot.

-- name: snapshot_time$
-- The moment that this snapshot shows.
SELECT now();

-- name: count_queue
-- The replay queue by stage, state and maker; what a run of the job would send now, and the oldest open row.
SELECT stage, state, made_by, count(*) AS rows,
       count(*) FILTER (WHERE (state IN ('waiting', 'replaying') AND next_attempt_at <= now())
                           OR (state = 'waiting' AND requested_at IS NOT NULL)) AS due,
       min(first_failed_at) FILTER (WHERE state IN ('waiting', 'replaying')) AS oldest_open_at
FROM replay_queue GROUP BY stage, state, made_by;

-- name: list_stage_controls
-- Which stage is paused by its breaker.
SELECT stage, paused, reason FROM stage_control;

-- name: sum_pages
-- The books' pages, summed over partitions and epochs.
SELECT stage, topic, sum(next_offset - base_offset)::bigint AS offsets, sum(stored)::bigint AS stored,
       sum(duplicate)::bigint AS duplicate, sum(parked)::bigint AS parked,
       sum(undecodable)::bigint AS undecodable, sum(missing)::bigint AS missing
FROM partition_ledger GROUP BY stage, topic;

-- name: count_inbox$
-- All leads that were stored, whatever their status: the others are tombstones that no record brought.
SELECT count(*) - (SELECT count(*) FROM lead_inbox WHERE NOT stored) FROM lead_inbox;

-- name: count_emails
-- The mails by state.
SELECT state, count(*) AS rows FROM email_delivery GROUP BY state;
