-- name: is_paused$
-- Whether the stage is paused, by its own breaker or by an admin.
SELECT paused FROM stage_control WHERE stage = :stage;

-- name: pause!
-- The stage pauses itself.
INSERT INTO stage_control (stage, paused, reason, changed_by) VALUES (:stage, true, :reason, :stage)
ON CONFLICT (stage) DO UPDATE SET paused = true, reason = excluded.reason, changed_at = now(),
    changed_by = excluded.changed_by;

-- name: refresh_pause$
-- The process that paused the stage confirms the pause. Returns nothing if an admin has resumed the stage.
UPDATE stage_control SET changed_at = now() WHERE stage = :stage AND paused RETURNING true;

-- name: resume_abandoned!
-- The process that paused the stage is gone: its restart means that someone has looked, so resume the stage.
UPDATE stage_control SET paused = false, reason = NULL, changed_at = now(), changed_by = 'restart'
WHERE stage = :stage AND paused AND changed_at < now() - make_interval(secs => :seconds::float8);
