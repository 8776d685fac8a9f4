-- The queries of store/stages.py: the circuit breaker of each stage.

-- name: list_paused
-- The stages that their breakers have paused.
SELECT stage, reason FROM stage_control WHERE paused ORDER BY stage;

-- name: lock_stage^
-- A stage's breaker, locked until this transaction ends.
SELECT paused FROM stage_control WHERE stage = :stage FOR UPDATE;

-- name: resume_stage!
-- Close a stage's breaker.
UPDATE stage_control SET paused = false, reason = NULL, changed_at = now(), changed_by = :actor
WHERE stage = :stage;
