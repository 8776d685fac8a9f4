-- name: report_retry_schedule!
-- Write a retry schedule. The last process to report it wins.
INSERT INTO retry_schedule (stage, work, waits_seconds, jitter, cron)
VALUES (:stage, :work, :waits_seconds, :jitter, :cron)
ON CONFLICT (stage, work) DO UPDATE
SET waits_seconds = excluded.waits_seconds, jitter = excluded.jitter, cron = excluded.cron, reported_at = now();
