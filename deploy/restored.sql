-- name: known_mails
-- Which of these leads have their two rows.
SELECT DISTINCT lead_id FROM email_delivery WHERE lead_id = ANY(:ids::uuid[]);

-- name: statuses
-- What the inbox says of these leads; those after the backup it does not know yet.
SELECT id, status FROM lead_inbox WHERE id = ANY(:ids::uuid[]);

-- name: write_mail!
-- A mail in the state in which it was before the restore.
INSERT INTO email_delivery (lead_id, kind, state, recipient, message_id, reason, settled_by)
VALUES (:lead_id, :kind, :state, :recipient, :message_id, :reason, :record_id)
ON CONFLICT (lead_id, kind) DO UPDATE
SET state = excluded.state, reason = excluded.reason, settled_by = excluded.settled_by, owner = NULL,
    lease_until = NULL, updated_at = now();

-- name: insert_entry!
-- Its audit entry, under the id that it had.
INSERT INTO audit_log (event_id, event, actor, details_json, lead_id, request_id)
VALUES (:event_id, :event, 'restore', jsonb_build_object('kind', :kind::text, 'reason', :reason::text), :lead_id, :request_id)
ON CONFLICT (event_id) DO NOTHING;

-- name: give_up_mails_in_hand$
-- What a notifier had in hand at the moment of the backup: its record is not taken again, nobody knows.
WITH given_up AS (
    UPDATE email_delivery
    SET state = 'unknown', reason = 'in hand at the backup', owner = NULL, lease_until = NULL, updated_at = now()
    WHERE state IN ('reserved', 'sending') RETURNING lead_id, kind
), told AS (
    INSERT INTO audit_log (event_id, event, actor, details_json, lead_id)
    SELECT gen_random_uuid(), 'email.unknown', 'restore', jsonb_build_object('kind', kind, 'reason', 'in hand at the backup'), lead_id
    FROM given_up
)
SELECT count(*) FROM given_up;
