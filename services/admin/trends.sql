-- The overview's counts over time. Each reads one stretch of an index, or the planner's statistics.

-- name: count_by_bucket
-- Leads by hour or day of the viewer's zone, of the window only (index lead_inbox_created).
SELECT date_trunc(:unit::text, created_at_utc, :zone::text) AS at, count(*) AS leads
FROM lead_inbox WHERE created_at_utc >= :since::timestamptz GROUP BY 1 ORDER BY 1;

-- name: estimate_rows$
-- How many leads there are, as the last vacuum or analyze had it; below 0: never looked at, so few.
SELECT reltuples::bigint FROM pg_class WHERE oid = 'lead_inbox'::regclass;

-- name: count_statuses
-- All leads by status, counted.
SELECT status AS word, count(*) AS leads FROM lead_inbox GROUP BY 1 ORDER BY 2 DESC, 1;

-- name: count_services
-- All leads by service, counted; the commonest ones.
SELECT service AS word, count(*) AS leads FROM lead_inbox GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 8;

-- name: estimate_words
-- The commonest values of a column with their share of the rows, as the last analyze found them in a sample.
SELECT word, (share * :rows::bigint)::bigint AS leads
FROM pg_stats, unnest(most_common_vals::text::text[], most_common_freqs) AS common (word, share)
WHERE schemaname = current_schema() AND tablename = 'lead_inbox' AND attname = :column::text
ORDER BY share DESC, word LIMIT 8;
