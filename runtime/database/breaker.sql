-- name: is_paused$
SELECT paused FROM stage_control WHERE stage = :stage;

-- name: pause!
-- The stage stops itself.
INSERT INTO stage_control (stage, paused, reason, changed_by) VALUES (:stage, true, :reason, :stage)
ON CONFLICT (stage) DO UPDATE SET paused = true, reason = excluded.reason, changed_at = now(),
    changed_by = excluded.changed_by;

-- name: keep_paused$
-- Who stopped the stage says that it still stands. Nothing comes back where an admin has resumed it.
UPDATE stage_control SET changed_at = now() WHERE stage = :stage AND paused RETURNING true;

-- name: resume_left!
-- Who stopped the stage is gone: its restart says that people have looked, and the stage begins anew.
UPDATE stage_control SET paused = false, reason = NULL, changed_at = now(), changed_by = 'restart'
WHERE stage = :stage AND paused AND changed_at < now() - make_interval(secs => :seconds::float8);
