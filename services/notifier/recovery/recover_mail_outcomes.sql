-- name: leads_without_outcome
-- The leads with a mail in `reserved` or `sending`. When this runs, this process sends no mail: they belong to another
-- process, to a paused stage, or to a database that was rolled back. A digest takes care of the alerts that it lists.
SELECT DISTINCT lead_id FROM email_delivery AS mail
WHERE state IN ('reserved', 'sending')
  AND NOT (kind = 'admin_alert' AND EXISTS (SELECT FROM collected_alert WHERE lead_id = mail.lead_id));

-- name: write_mail!
-- Write the state of a mail that was lost. A digest that listed a held lead may be lost too, so the lead is listed again.
WITH held AS (
    INSERT INTO held_lead (lead_id, site)
    SELECT :lead_id, :site WHERE :kind = 'admin_alert' AND :state = 'suppressed' AND :reason = 'held'
    ON CONFLICT DO NOTHING
)
INSERT INTO email_delivery (lead_id, kind, state, recipient, mailbox, message_id, reason, settled_by, site, lead_received_at,
                            requested_at)
VALUES (:lead_id, :kind, :state, :recipient, :mailbox, :message_id, :reason, :record_id, :site, :received_at,
        CASE WHEN :kind = 'admin_alert' AND :state <> 'suppressed' THEN now() END)
ON CONFLICT (lead_id, kind) DO UPDATE
SET state = excluded.state, reason = excluded.reason, settled_by = excluded.settled_by, owner = NULL,
    lease_until = NULL, updated_at = now();
