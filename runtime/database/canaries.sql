-- name: add_results!
-- Write what hops did with canaries. A canary that the database does not know has no results. A success replaces a failure,
-- and is never replaced: a record may be read again.
INSERT INTO canary_result AS known (canary_id, hop, ok, reason, seconds)
SELECT c.id, r.hop, r.ok, r.reason, extract(epoch FROM clock_timestamp() - c.sent_at)
FROM unnest(:ids::uuid[], :hops::text[], :oks::boolean[], :reasons::text[]) AS r (id, hop, ok, reason)
JOIN canary c ON c.id = r.id
ON CONFLICT (canary_id, hop) DO UPDATE
SET ok = excluded.ok, reason = excluded.reason, seconds = excluded.seconds, finished_at = now()
WHERE NOT known.ok;

-- name: add_failure_of_waiting!
-- Write that a hop fails for all canaries that wait for it.
INSERT INTO canary_result (canary_id, hop, ok, reason, seconds)
SELECT c.id, :hop, false, :reason, extract(epoch FROM clock_timestamp() - c.sent_at)
FROM canary c WHERE c.sent_at > now() - interval '1 hour'
ON CONFLICT (canary_id, hop) DO NOTHING;
