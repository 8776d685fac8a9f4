-- name: leads_in_hand
-- Whose mails are in hand. Of this process none is, when it asks: they are of another one, of a paused stage, or of a
-- database that was rolled back.
SELECT DISTINCT lead_id FROM email_delivery WHERE state IN ('reserved', 'sending');

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
