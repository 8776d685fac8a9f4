-- The query of outbox_counts.py.

-- name: count_outbox^
-- How many events wait in the outbox, and the age of the oldest in seconds. 0 and 0 if none waits.
SELECT count(*) AS rows, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_seconds
FROM lead_event_outbox;
