-- The queries of monitoring/scheduled_jobs.py.

-- name: list_jobs
-- The scheduled jobs. A job counts as overdue a minute after its time, because a run may start late.
SELECT name, schedule, runs, last_started_at, last_finished_at, last_outcome, last_duration_ms, last_details,
       next_run_at, coalesce(next_run_at < now() - interval '1 minute', false) AS overdue
FROM scheduled_job ORDER BY name;

-- name: list_retry_schedules
-- The retry schedules that flushers and webhooks have reported.
SELECT stage, work, waits_seconds, jitter, cron, reported_at FROM retry_schedule ORDER BY stage, work DESC;
