-- The queries of witness_mails.py.

-- name: claim_run$
-- Begin a run if one is due or requested, and the log is sealed. If this process dies, another one repeats it after the lease.
INSERT INTO scheduled_job AS job (name, schedule, runs, last_started_at, last_outcome, next_run_at)
SELECT 'audit_witness', :schedule, 1, now(), 'running', now() + make_interval(secs => :lease_seconds::float8)
WHERE EXISTS (SELECT FROM audit_checkpoint)
ON CONFLICT (name) DO UPDATE
SET schedule = excluded.schedule, runs = job.runs + 1, last_started_at = now(), last_outcome = 'running',
    next_run_at = excluded.next_run_at, requested_at = NULL
WHERE job.next_run_at <= now() OR job.next_run_at IS NULL OR job.requested_at IS NOT NULL
RETURNING runs;

-- name: read_checkpoint^
-- The newest checkpoint.
SELECT origin, size, note FROM audit_checkpoint ORDER BY number DESC LIMIT 1;

-- name: end_run!
-- Record how a run went, unless a later one has begun.
UPDATE scheduled_job
SET last_finished_at = now(), last_outcome = :outcome, last_details = :details, next_run_at = :next_run_at,
    last_duration_ms = (extract(epoch FROM now() - last_started_at) * 1000)::integer
WHERE name = 'audit_witness' AND runs = :runs;
