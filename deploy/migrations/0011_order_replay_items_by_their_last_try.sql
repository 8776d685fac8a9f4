-- A row of a replay that could not be sent, for its destination was away, lets the rows behind it go first.
ALTER TABLE queue_replay_item ADD COLUMN tried_at timestamptz;
DROP INDEX queue_replay_item_queued;
CREATE INDEX queue_replay_item_queued ON queue_replay_item (replay_id, tried_at NULLS FIRST, queue_id)
    WHERE turn_at IS NULL;                                           -- the next turn
