-- name: keep_erasures_out!
-- No lead is erased until this transaction ends (erase_lead holds this lock alone).
SELECT pg_advisory_xact_lock_shared(hashtextextended('fastcore.erase', 0));

-- name: leads_in_hand
-- Whose mails are in hand. Of this process none is, when it asks: they are of another one, of a paused stage, or of a
-- database that was rolled back.
SELECT DISTINCT lead_id FROM email_delivery WHERE state IN ('reserved', 'sending');

-- name: lock_rows
-- The mails of these leads, locked in one order for all processes.
SELECT lead_id, kind, state, owner, settled_by,
       coalesce(extract(epoch FROM lease_until - clock_timestamp()), 0)::float8 AS lease_seconds
FROM email_delivery
WHERE lead_id = ANY(:lead_ids::uuid[])
ORDER BY lead_id, kind
FOR UPDATE;

-- name: statuses
-- What the inbox says of these leads; it may have forgotten them too.
SELECT id, status FROM lead_inbox WHERE id = ANY(:lead_ids::uuid[]);

-- name: write_mail!
-- A mail in the state in which the notifier had left it.
INSERT INTO email_delivery (lead_id, kind, state, recipient, mailbox, message_id, reason, settled_by, site, lead_received_at)
VALUES (:lead_id, :kind, :state, :recipient, :mailbox, :message_id, :reason, :record_id, :site, :received_at)
ON CONFLICT (lead_id, kind) DO UPDATE
SET state = excluded.state, reason = excluded.reason, settled_by = excluded.settled_by, owner = NULL,
    lease_until = NULL, updated_at = now();

-- name: insert_entry!
-- Its audit entry, under the id that it had.
INSERT INTO audit_log (event_id, event, actor, details_json, lead_id, request_id)
VALUES (:event_id, :event, 'notifier', jsonb_build_object('kind', :kind::text, 'reason', :reason::text), :lead_id, :request_id)
ON CONFLICT (event_id) DO NOTHING;
