-- name: try_job_lock$
-- One run of a job at a time, over all flushers. The lock ends with the transaction, also after a crash.
SELECT pg_try_advisory_xact_lock(hashtextextended('fastcore.job.' || :name, 0));

-- name: begin_run$
-- Begin the run of this tick, unless it has succeeded: then `next_run_at` is already the next tick. A failed run is
-- repeated. So is a run without an end: its flusher is dead, because this one has the lock. A changed schedule or a
-- clock that jumped leads to another `next_run_at`. A run that an admin requests is always begun.
INSERT INTO scheduled_job AS job (name, schedule, runs, last_started_at, last_outcome, next_run_at)
VALUES (:name, :schedule, 1, :now, 'running', :next_run_at)
ON CONFLICT (name) DO UPDATE
SET schedule = excluded.schedule, runs = job.runs + 1, last_started_at = excluded.last_started_at,
    last_outcome = 'running', next_run_at = excluded.next_run_at, requested_at = NULL
WHERE job.next_run_at IS DISTINCT FROM excluded.next_run_at OR job.last_outcome IS DISTINCT FROM 'succeeded'
   OR job.requested_at IS NOT NULL
RETURNING runs;

-- name: end_run!
-- Record how a run went, unless a later one has begun.
UPDATE scheduled_job
SET last_finished_at = :now, last_outcome = :outcome, last_duration_ms = :duration_ms, last_details = :details
WHERE name = :name AND runs = :runs;
