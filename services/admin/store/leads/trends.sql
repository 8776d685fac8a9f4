-- The queries of trends.py. Each reads a range of an index, a table of counts, or the statistics. What is before `covered` was counted by the flusher's job (migration 0019), the rest is counted here.

-- name: covered_until$
-- Until when the leads of past days are counted.
SELECT covered_until FROM lead_summary_state;

-- name: count_by_bucket
-- Leads and spam by day or month of the viewer's time zone (indexes lead_summary_pkey, lead_inbox_created).
SELECT date_trunc(:unit::text, at, :zone::text) AS at, sum(leads)::bigint AS leads, sum(spam)::bigint AS spam FROM (
    SELECT at, leads, spam FROM lead_summary
    WHERE dimension = 'all' AND at >= :since::timestamptz AND at < :covered::timestamptz
    UNION ALL
    SELECT created_at_utc, (status <> 'spam')::int, (status = 'spam')::int FROM lead_inbox
    WHERE created_at_utc >= greatest(:since::timestamptz, :covered::timestamptz)
) AS counted GROUP BY 1;

-- name: count_by_hour_of_week
-- Leads by weekday (1 is Monday) and hour of the viewer's time zone.
SELECT extract(isodow FROM local)::int AS weekday, extract(hour FROM local)::int AS hour, sum(leads)::bigint AS leads FROM (
    SELECT at AT TIME ZONE :zone::text AS local, leads FROM lead_summary
    WHERE dimension = 'all' AND at >= :since::timestamptz AND at < :covered::timestamptz
    UNION ALL
    SELECT created_at_utc AT TIME ZONE :zone::text, 1 FROM lead_inbox
    WHERE status <> 'spam' AND created_at_utc >= greatest(:since::timestamptz, :covered::timestamptz)
) AS counted GROUP BY 1, 2 HAVING sum(leads) > 0;

-- name: top_values
-- The most frequent values of each dimension. `first_day` is the first whole UTC day: the hours before it are counted here.
SELECT dimension, value, leads FROM (
    SELECT dimension, value, sum(leads)::bigint AS leads,
           row_number() OVER (PARTITION BY dimension ORDER BY value = '', sum(leads) DESC, value) AS place
    FROM (
        SELECT dimension, value, leads FROM lead_summary
        WHERE dimension = ANY (:dimensions::text[]) AND at >= :first_day::timestamptz AND at < :covered::timestamptz
        UNION ALL
        SELECT dimension, value, 1 FROM lead_dimension
        WHERE status <> 'spam' AND created_at_utc >= :since::timestamptz AND created_at_utc < :first_day::timestamptz
        UNION ALL
        SELECT dimension, value, 1 FROM lead_dimension
        WHERE status <> 'spam' AND created_at_utc >= greatest(:first_day::timestamptz, :covered::timestamptz)
    ) AS counted GROUP BY 1, 2 HAVING sum(leads) > 0
) AS ordered WHERE place <= :most::bigint OR value = '' ORDER BY dimension, place;

-- name: count_statuses
-- All leads by status. Triggers count them (migration 0004).
SELECT state AS word, sum(rows)::bigint AS leads FROM row_count WHERE table_name = 'lead_inbox'
GROUP BY 1 HAVING sum(rows) <> 0 ORDER BY 2 DESC, 1;

-- name: count_services
-- The most frequent services, counted.
SELECT service AS word, count(*) AS leads FROM lead_inbox WHERE service <> '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 8;

-- name: estimate_services
-- The most frequent services, estimated from the sample of the last ANALYZE.
SELECT word, (share * :rows::bigint)::bigint AS leads
FROM pg_stats, unnest(most_common_vals::text::text[], most_common_freqs) AS common (word, share)
WHERE schemaname = current_schema() AND tablename = 'lead_inbox' AND attname = 'service' AND word <> ''
ORDER BY share DESC, word LIMIT 8;
