-- The queries of monitoring/canaries.py.

-- name: read_job^
-- The flusher's job, and whether its next run is late by more than it needs. Without a next run it is switched off. Without
-- sites the last run sent nothing.
SELECT now() AS read_at, last_started_at, next_run_at IS NOT NULL AS is_on,
       last_outcome = 'succeeded' AND last_details ->> 'sent' = '0' AS is_without_sites,
       coalesce(next_run_at < now() - interval '3 minutes', false) AS is_overdue
FROM scheduled_job WHERE name = 'canary';

-- name: list_newest
-- The newest canaries of each route that the last run tested, and what the hops wrote about them. The canaries of one run have
-- one time, sent_at: so the last run is the newest time. It has no canary of a site that was removed.
SELECT c.id, c.site, c.route, c.sent_at, r.hop, r.ok, r.reason, r.seconds, r.finished_at
FROM (SELECT site, route FROM canary WHERE sent_at = (SELECT max(sent_at) FROM canary)) AS tested
CROSS JOIN LATERAL (SELECT n.id, n.site, n.route, n.sent_at FROM canary n
                    WHERE n.site = tested.site AND n.route = tested.route
                    ORDER BY n.sent_at DESC LIMIT :newest) AS c
LEFT JOIN canary_result r ON r.canary_id = c.id
ORDER BY c.site, c.route, c.sent_at DESC, c.id;

-- name: list_last_worked
-- When each of these hops last worked, within a day. It usually works in the newest canary, the first one that is read.
SELECT h.site, h.route, h.hop, w.reason, w.seconds, w.finished_at
FROM unnest(:sites::text[], :routes::text[], :hops::text[]) AS h (site, route, hop)
CROSS JOIN LATERAL (SELECT r.reason, r.seconds, r.finished_at
                    FROM canary c JOIN canary_result r ON r.canary_id = c.id AND r.hop = h.hop
                    WHERE c.site = h.site AND c.route = h.route AND r.ok
                    ORDER BY c.sent_at DESC LIMIT 1) AS w;
