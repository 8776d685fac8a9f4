-- The query of pending_work.py.

-- name: read_pending_work^
-- Which work waits for the flusher's loops. Queried every second; each part has a small or partial index.
SELECT ARRAY(SELECT name FROM scheduled_job WHERE requested_at IS NOT NULL) AS jobs,
       EXISTS (SELECT FROM replay_queue WHERE state = 'waiting' AND requested_at IS NOT NULL) AS rows,
       EXISTS (SELECT FROM queue_replay WHERE finished_at IS NULL AND cancelled_at IS NULL) AS replays,
       EXISTS (SELECT FROM lead_event_outbox) AS events;
