-- Bulk changes that send leads to a destination, and groups of failed deliveries (docs/decisions/0046).

-- `value` is the destination of the actions send and retry. `per_second` is how many leads they send, at most.
ALTER TABLE bulk_change ADD COLUMN per_second integer;
ALTER TABLE bulk_change DROP CONSTRAINT bulk_action_is_known;
ALTER TABLE bulk_change ADD CONSTRAINT bulk_action_is_known
    CHECK (action IN ('status', 'assign', 'erase', 'send', 'retry')) NOT VALID;

-- The type of the delivery's event, written when an attempt fails: it groups the failures. A webhooks process that runs
-- beside this migration does not write it. Until the next attempt, such a delivery counts as lead.received.
ALTER TABLE webhook_delivery ADD COLUMN type text NOT NULL DEFAULT 'lead.received';
UPDATE webhook_delivery AS d SET type = e.type FROM webhook_event AS e
WHERE e.id = d.event_id AND d.state IN ('failed', 'dead') AND e.type <> 'lead.received';

-- The failed deliveries by group, and a group's deliveries by time. Each failed attempt has a reason.
CREATE INDEX webhook_delivery_failures ON webhook_delivery
    (destination, type, reason, state, updated_at DESC, event_id DESC)
    WHERE state IN ('failed', 'dead') AND reason IS NOT NULL;
