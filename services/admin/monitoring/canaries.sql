-- The queries of monitoring/canaries.py.

-- name: read_job^
-- The flusher's job, and whether its next run is late by more than it needs. Without a next run it is switched off.
SELECT now() AS read_at, last_started_at, next_run_at IS NOT NULL AS is_on,
       coalesce(next_run_at < now() - interval '3 minutes', false) AS is_overdue
FROM scheduled_job WHERE name = 'canary';

-- name: list_newest
-- The newest canaries of each route that was tested by the last run, and what the hops wrote about them. A site that was
-- removed is not tested any more.
SELECT c.id, c.site, c.route, c.sent_at, r.hop, r.ok, r.reason, r.seconds, r.finished_at
FROM (SELECT n.id, n.site, n.route, n.sent_at,
             row_number() OVER (PARTITION BY n.site, n.route ORDER BY n.sent_at DESC) AS number,
             max(n.sent_at) OVER (PARTITION BY n.site, n.route) AS newest_at
      FROM canary n WHERE n.sent_at > now() - interval '1 hour') AS c
LEFT JOIN canary_result r ON r.canary_id = c.id
WHERE c.number <= :newest AND c.newest_at >= (SELECT max(sent_at) FROM canary)
ORDER BY c.site, c.route, c.sent_at DESC;

-- name: list_last_worked
-- When each hop of each route last worked, within a day.
SELECT DISTINCT ON (c.site, c.route, r.hop) c.site, c.route, r.hop, r.reason, r.seconds, r.finished_at
FROM canary c JOIN canary_result r ON r.canary_id = c.id
WHERE r.ok
ORDER BY c.site, c.route, r.hop, c.sent_at DESC;
