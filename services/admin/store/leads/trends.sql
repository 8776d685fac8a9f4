-- The queries of store/trends.py. Each reads one range of an index, or the planner's statistics.

-- name: count_by_bucket
-- Leads by hour or day of the viewer's time zone (index lead_inbox_created).
SELECT date_trunc(:unit::text, created_at_utc, :zone::text) AS at, count(*) AS leads
FROM lead_inbox WHERE created_at_utc >= :since::timestamptz GROUP BY 1 ORDER BY 1;

-- name: count_statuses
-- All leads by status. Triggers count them (migration 0004).
SELECT state AS word, sum(rows)::bigint AS leads FROM row_count WHERE table_name = 'lead_inbox'
GROUP BY 1 HAVING sum(rows) <> 0 ORDER BY 2 DESC, 1;

-- name: count_services
-- The most frequent services, counted.
SELECT service AS word, count(*) AS leads FROM lead_inbox GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 8;

-- name: estimate_services
-- The most frequent services, estimated from the sample of the last ANALYZE.
SELECT word, (share * :rows::bigint)::bigint AS leads
FROM pg_stats, unnest(most_common_vals::text::text[], most_common_freqs) AS common (word, share)
WHERE schemaname = current_schema() AND tablename = 'lead_inbox' AND attname = 'service'
ORDER BY share DESC, word LIMIT 8;
