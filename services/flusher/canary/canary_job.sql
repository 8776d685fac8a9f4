-- name: delete_old!
-- Delete the canaries of the day before, with their results.
DELETE FROM canary WHERE sent_at < now() - interval '1 day';

-- name: add_canaries!
-- Insert canaries that are about to be sent.
INSERT INTO canary (id, site, route)
SELECT c.id, c.site, c.route FROM unnest(:ids::uuid[], :sites::text[], :routes::text[]) AS c (id, site, route);

-- name: stop_job!
-- The canary is switched off, so the job has no next run.
UPDATE scheduled_job SET next_run_at = NULL WHERE name = :name AND next_run_at IS NOT NULL;
