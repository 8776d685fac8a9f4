-- One action on many leads: a status, an assignee or an erasure. The admin service works through the leads in small
-- transactions, so that nobody waits for a large change, and any process continues after a crash.

CREATE TABLE bulk_change (
    id            uuid PRIMARY KEY,
    actor         text NOT NULL,
    action        text NOT NULL,
    value         text,                          -- the status, or the assignee; null: nobody
    total         integer NOT NULL,
    next_position integer NOT NULL DEFAULT 1,    -- the items before it have their result
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    cancelled_at  timestamptz,
    CONSTRAINT bulk_action_is_known CHECK (action IN ('status', 'assign', 'erase'))
);
CREATE INDEX bulk_change_running ON bulk_change (created_at) WHERE finished_at IS NULL AND cancelled_at IS NULL;
CREATE INDEX bulk_change_created ON bulk_change (created_at DESC, id DESC);

CREATE TABLE bulk_change_item (
    bulk_id  uuid NOT NULL REFERENCES bulk_change,
    position integer NOT NULL,
    lead_id  uuid NOT NULL,
    result   text,                               -- null: not yet, or cancelled
    reason   text,                               -- why a lead was refused; no personal data
    PRIMARY KEY (bulk_id, position),
    CONSTRAINT bulk_result_is_known CHECK (result IN ('changed', 'unchanged', 'refused'))
);
CREATE INDEX bulk_change_item_refused ON bulk_change_item (bulk_id, position) WHERE result = 'refused';
