-- The overview's counts over time. Each reads one stretch of an index, or the planner's statistics.

-- name: count_by_bucket
-- Leads by hour or day of the viewer's zone, of the window only (index lead_inbox_created).
SELECT date_trunc(:unit::text, created_at_utc, :zone::text) AS at, count(*) AS leads
FROM lead_inbox WHERE created_at_utc >= :since::timestamptz GROUP BY 1 ORDER BY 1;

-- name: count_statuses
-- All leads by status, exactly: kept by triggers (migration 0004).
SELECT state AS word, sum(rows)::bigint AS leads FROM row_count WHERE table_name = 'lead_inbox'
GROUP BY 1 HAVING sum(rows) <> 0 ORDER BY 2 DESC, 1;

-- name: count_services
-- All leads by service, counted; the commonest ones.
SELECT service AS word, count(*) AS leads FROM lead_inbox GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 8;

-- name: estimate_services
-- The commonest services with their share of the rows, as the last analyze found them in a sample.
SELECT word, (share * :rows::bigint)::bigint AS leads
FROM pg_stats, unnest(most_common_vals::text::text[], most_common_freqs) AS common (word, share)
WHERE schemaname = current_schema() AND tablename = 'lead_inbox' AND attname = 'service'
ORDER BY share DESC, word LIMIT 8;
