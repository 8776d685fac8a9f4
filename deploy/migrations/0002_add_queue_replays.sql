-- Replays that an admin asks for: one row now, or many by a filter, at a bounded rate.

-- Why an admin wants this row now; told in the audit log when it is sent.
ALTER TABLE replay_queue ADD COLUMN requested_comment text;

-- The workbench: what is stuck, grouped by what is wrong, and the rows of one group, newest first.
CREATE INDEX replay_queue_groups
    ON replay_queue (state, stage, kind, reason, last_failed_at DESC, id DESC) INCLUDE (first_failed_at);

-- One replay by filter: who, why, of what, how fast, and how far it is.
CREATE TABLE queue_replay (
    id           uuid PRIMARY KEY,
    requested_by text NOT NULL,
    comment      text,
    filter       jsonb NOT NULL,            -- as it was asked for
    per_second   integer NOT NULL,
    wanted       integer NOT NULL,          -- rows chosen when it began
    taken        integer NOT NULL DEFAULT 0,  -- rows that had their turn
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_turn_at timestamptz,               -- at most per_second rows a second, over all flushers
    -- running -> finished   every row had its turn
    -- running -> cancelled  by an admin; what had no turn was never touched
    finished_at  timestamptz,
    cancelled_at timestamptz,
    cancelled_by text,
    -- The flusher holds a turn's payloads in memory: at most 100 x 1 MiB, as in its own chunks.
    CONSTRAINT replay_rate_is_bounded CHECK (per_second BETWEEN 1 AND 100),
    CONSTRAINT replay_ends_once CHECK (finished_at IS NULL OR cancelled_at IS NULL),
    CONSTRAINT finished_had_every_turn CHECK (finished_at IS NULL OR taken = wanted)
);
CREATE INDEX queue_replay_running ON queue_replay (last_turn_at)
    WHERE finished_at IS NULL AND cancelled_at IS NULL;              -- the flusher's poll
CREATE INDEX queue_replay_created ON queue_replay (created_at DESC, id DESC);  -- the history

-- The rows of a replay. A row of the queue is not touched before its turn, so a cancelled replay has
-- nothing to put back, and it may be in several replays, one after the other. No foreign keys: nothing
-- is ever deleted, and their checks would wait for each row that a flusher holds.
CREATE TABLE queue_replay_item (
    replay_id uuid NOT NULL,
    queue_id  uuid NOT NULL,
    turn_at   timestamptz,
    skipped   boolean NOT NULL DEFAULT false,  -- there was nothing to send any more at its turn
    PRIMARY KEY (replay_id, queue_id)
);
CREATE INDEX queue_replay_item_queued ON queue_replay_item (replay_id, queue_id)
    WHERE turn_at IS NULL;                                           -- the next turn

-- What became of each row of a replay, as its row of the queue has it now.
CREATE VIEW queue_replay_result AS
SELECT item.replay_id, item.queue_id, item.turn_at, q.stage, q.kind, q.lead_id, q.state, q.reason,
       CASE WHEN item.turn_at IS NULL AND replay.cancelled_at IS NOT NULL THEN 'cancelled'
            WHEN item.turn_at IS NULL THEN 'queued'
            WHEN q.state = 'resolved' THEN 'resolved'
            WHEN item.skipped THEN 'skipped'
            WHEN q.state = 'replaying' THEN 'sent'
            ELSE 'failed' END AS result
FROM queue_replay_item AS item
JOIN queue_replay AS replay ON replay.id = item.replay_id
JOIN replay_queue AS q ON q.id = item.queue_id;
