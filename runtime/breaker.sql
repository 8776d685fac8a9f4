-- name: is_paused$
SELECT paused FROM stage_control WHERE stage = :stage;

-- name: pause!
-- The stage stops itself.
INSERT INTO stage_control (stage, paused, reason, changed_by) VALUES (:stage, true, :reason, :stage)
ON CONFLICT (stage) DO UPDATE SET paused = true, reason = excluded.reason, changed_at = now(),
    changed_by = excluded.changed_by;

-- name: resume!
-- A restart says that people have looked: the stage begins anew.
UPDATE stage_control SET paused = false, reason = NULL, changed_at = now(), changed_by = 'restart'
WHERE stage = :stage AND paused;
