-- The queries of trends.py. Each reads a range of an index, a table of counts, or the statistics. What is before `covered` was counted by the flusher's job (migration 0019), the rest is counted here.

-- name: covered_until$
-- Until when the leads of past days are counted.
SELECT covered_until FROM lead_summary_state;

-- name: count_by_bucket
-- Leads and spam by day or month of the viewer's time zone. Each is a range of an index (lead_summary_pkey, lead_inbox_created):
-- to find the day of each row took four times as long.
SELECT starts_at AS at, counted.leads, counted.spam
FROM generate_series(date_trunc(:unit::text, :since::timestamptz AT TIME ZONE :zone::text), now() AT TIME ZONE :zone::text,
                     ('1 ' || :unit::text)::interval) AS local
CROSS JOIN LATERAL (
    SELECT local AT TIME ZONE :zone::text AS starts_at, (local + ('1 ' || :unit::text)::interval) AT TIME ZONE :zone::text AS ends_at
) AS bucket
CROSS JOIN LATERAL (
    SELECT sum(leads)::bigint AS leads, sum(spam)::bigint AS spam FROM (
        SELECT leads, spam FROM lead_summary
        WHERE dimension = 'all' AND at >= greatest(starts_at, :since::timestamptz) AND at < least(ends_at, :covered::timestamptz)
        UNION ALL
        SELECT (status <> 'spam')::int, (status = 'spam')::int FROM lead_inbox
        WHERE created_at_utc >= greatest(starts_at, :since::timestamptz, :covered::timestamptz) AND created_at_utc < ends_at
    ) AS found
) AS counted WHERE counted.leads IS NOT NULL;

-- name: count_by_hour_of_week
-- Leads by weekday (1 is Monday) and hour of the viewer's time zone. `slot` is the hour of the week: 1970 began on a Thursday.
SELECT slot / 24 + 1 AS weekday, slot % 24 AS hour, sum(leads)::bigint AS leads FROM (
    SELECT (floor(date_part('epoch', local) / 3600)::int + 72) % 168 AS slot, leads FROM (
        SELECT at AT TIME ZONE :zone::text AS local, leads FROM lead_summary
        WHERE dimension = 'all' AND at >= :since::timestamptz AND at < :covered::timestamptz
        UNION ALL
        SELECT created_at_utc AT TIME ZONE :zone::text, 1 FROM lead_inbox
        WHERE status <> 'spam' AND created_at_utc >= greatest(:since::timestamptz, :covered::timestamptz)
    ) AS counted
) AS by_slot GROUP BY slot HAVING sum(leads) > 0;

-- name: top_values
-- The most frequent values of each dimension. `first_day` is the first whole UTC day: the hours before it are counted here.
WITH recent AS MATERIALIZED (
    SELECT dimension, value, count(*) AS leads FROM (
        SELECT dimension, value FROM lead_dimension
        WHERE status <> 'spam' AND created_at_utc >= :since::timestamptz AND created_at_utc < :first_day::timestamptz
        UNION ALL
        SELECT dimension, value FROM lead_dimension
        WHERE status <> 'spam' AND created_at_utc >= greatest(:first_day::timestamptz, :covered::timestamptz)
    ) AS uncovered GROUP BY 1, 2
)
SELECT wanted.dimension, value, leads FROM unnest(:dimensions::text[]) AS wanted (dimension)
CROSS JOIN LATERAL (
    SELECT value, sum(leads)::bigint AS leads, row_number() OVER (ORDER BY value = '', sum(leads) DESC, value) AS place
    FROM (
        SELECT value, leads FROM lead_summary AS past
        WHERE past.dimension = wanted.dimension AND at >= :first_day::timestamptz AND at < :covered::timestamptz
        UNION ALL
        SELECT value, leads FROM recent WHERE recent.dimension = wanted.dimension
    ) AS counted GROUP BY 1 HAVING sum(leads) > 0
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
