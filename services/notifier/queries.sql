-- name: insert_rows
-- Insert the deliveries of new leads: reserved for this process, collected for a digest, or suppressed. Returns only the
-- inserted ones. The time of the request counts towards the limit of a burst. The
-- notification that is suppressed for a held lead is replaced by the next digest of its site.
WITH inserted AS (
    INSERT INTO email_delivery (lead_id, kind, state, owner, lease_until, recipient, mailbox, message_id, reason,
                                settled_by, site, lead_received_at, requested_at)
    SELECT lead_id, kind, CASE WHEN reason IS NOT NULL THEN 'suppressed' WHEN collected THEN 'collected' ELSE 'reserved' END,
           CASE WHEN reason IS NULL AND NOT collected THEN :owner::uuid END,
           CASE WHEN reason IS NULL AND NOT collected THEN now() + make_interval(secs => :lease_seconds::float8) END,
           CASE WHEN reason IS DISTINCT FROM 'erased' THEN recipient END,
           CASE WHEN reason IS DISTINCT FROM 'erased' THEN mailbox END, message_id, reason,
           CASE WHEN reason IS NOT NULL OR collected THEN record_id END, site, received_at,
           CASE WHEN reason IS NULL AND kind = 'admin_alert' THEN now() END
    FROM unnest(:lead_ids::uuid[], :kinds::text[], :recipients::text[], :mailboxes::text[], :message_ids::text[],
                :reasons::text[], :collected::boolean[], :record_ids::uuid[], :sites::text[],
                :received_ats::timestamptz[])
        AS made (lead_id, kind, recipient, mailbox, message_id, reason, collected, record_id, site, received_at)
    ORDER BY lead_id, kind
    ON CONFLICT DO NOTHING
    RETURNING lead_id, kind, reason, site
), held AS (
    INSERT INTO held_lead (lead_id, site) SELECT lead_id, site FROM inserted
    WHERE kind = 'admin_alert' AND reason = 'held' ON CONFLICT DO NOTHING
)
SELECT lead_id FROM inserted;

-- name: take_rows!
-- Reserve these deliveries for this process. Take the address from the record, because it may have been corrected.
-- A delivery in `sending`, whose process died, keeps its state, its address and its Message-ID. Any other gets its own
-- Message-ID: the alert may have been listed in a digest before.
UPDATE email_delivery d
SET state = CASE WHEN d.state = 'sending' THEN 'sending' ELSE 'reserved' END,
    recipient = CASE WHEN d.state = 'sending' THEN d.recipient ELSE taken.recipient END,
    mailbox = CASE WHEN d.state = 'sending' THEN d.mailbox ELSE taken.mailbox END,
    message_id = CASE WHEN d.state = 'sending' THEN d.message_id ELSE taken.message_id END, owner = :owner::uuid,
    lease_until = now() + make_interval(secs => :lease_seconds::float8), updated_at = now(),
    requested_at = CASE WHEN d.kind = 'admin_alert' THEN now() END
FROM unnest(:lead_ids::uuid[], :kinds::text[], :recipients::text[], :mailboxes::text[], :message_ids::text[])
    AS taken (lead_id, kind, recipient, mailbox, message_id)
WHERE d.lead_id = taken.lead_id AND d.kind = taken.kind;

-- name: collect_rows!
-- Collect these alerts, which are requested again, for a digest.
UPDATE email_delivery d
SET state = 'collected', recipient = taken.recipient, settled_by = taken.record_id, owner = NULL, lease_until = NULL,
    updated_at = now(), requested_at = now()
FROM unnest(:lead_ids::uuid[], :recipients::text[], :record_ids::uuid[]) AS taken (lead_id, recipient, record_id)
WHERE d.lead_id = taken.lead_id AND d.kind = 'admin_alert';

-- name: move_mails
-- Write the next states of many deliveries in one statement, and return the written deliveries with their states, which
-- differ from the requested ones if the lead is erased or the last retry has failed. This takes one commit
-- and one round trip. A delivery is not written if this process lost its lease. A delivery does not become `sending`
-- if its lead is erased. A statement that waited for the erasure sees the emptied row, but lead_inbox as it was
-- before, so both are checked. All processes lock rows in the same order. State and owner are compared where the row is
-- locked and not again in the UPDATEs: a database at rest has no `reserved` row in its statistics, so the planner would read
-- all open rows for each mail.
WITH transitions AS (
    SELECT target.lead_id, target.kind, target.code, target.enhanced, target.answer, target.quote, target.tries,
           target.record_id, target.event_id, target.request_id, target.queue_id, next.state,
           CASE WHEN next.is_erased THEN 'erased' ELSE target.reason END AS reason,
           CASE WHEN next.state = 'suppressed' THEN 'email.suppressed' ELSE target.event END AS event,
           d.state AS state_before, d.recipient IS NULL AS is_emptied
    FROM email_delivery d
    JOIN unnest(:lead_ids::uuid[], :kinds::text[], :states::text[], :reasons::text[], :codes::int[], :enhanced::text[],
                :answers::text[], :quotes::text[], :tries::int[], :record_ids::uuid[], :events::text[], :event_ids::uuid[],
                :request_ids::text[], :queue_ids::uuid[])
        AS target (lead_id, kind, state, reason, code, enhanced, answer, quote, tries, record_id, event, event_id,
                   request_id, queue_id) ON d.lead_id = target.lead_id AND d.kind = target.kind
    -- The mail of an erased lead (its recipient is null) is not retried. If this was the last retry, the flusher's
    -- mark_mail_dead may have recorded it as dead already.
    CROSS JOIN LATERAL (SELECT target.state = 'waiting' AND d.recipient IS NULL AS is_erased,
                               CASE WHEN target.state = 'waiting' AND d.settled_by = target.record_id THEN 'dead'
                                    WHEN target.state = 'waiting' AND d.recipient IS NULL THEN 'suppressed'
                                    ELSE target.state END AS state) AS next
    WHERE d.owner = :owner::uuid
    ORDER BY d.lead_id, d.kind
    FOR UPDATE OF d
), started AS (  -- from this commit on these mails may have been sent
    UPDATE email_delivery d
    SET state = 'sending', lease_until = now() + make_interval(secs => :lease_seconds::float8), updated_at = now()
    FROM transitions target
    WHERE d.lead_id = target.lead_id AND d.kind = target.kind AND target.state = 'sending'
      AND target.state_before = 'reserved' AND NOT target.is_emptied
      AND NOT EXISTS (SELECT FROM lead_inbox WHERE id = d.lead_id AND status = 'erased')
    RETURNING d.lead_id, d.kind, d.state
), finished AS (  -- the reply to a mail of an erased lead is not stored
    UPDATE email_delivery d
    SET state = target.state, reason = target.reason, owner = NULL, lease_until = NULL, updated_at = now(),
        attempts = d.attempts + target.tries, smtp_answer = CASE WHEN d.recipient IS NOT NULL THEN target.answer END,
        failure_group = CASE WHEN target.state NOT IN ('sent', 'suppressed') THEN target.quote END,
        sent_at = CASE WHEN target.state = 'sent' THEN now() END, settled_by = target.record_id
    FROM transitions target
    WHERE d.lead_id = target.lead_id AND d.kind = target.kind AND target.state <> 'sending'
      AND target.state_before IN ('reserved', 'sending')
    RETURNING target.lead_id, target.kind, target.state, target.reason, target.code, target.enhanced,
              target.record_id, target.event, target.event_id, target.request_id, target.queue_id, d.attempts
), audited AS (
    INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id)
    SELECT event_id, event, 'notifier', code, jsonb_build_object('kind', kind, 'reason', reason, 'code', code,
           'enhanced', enhanced, 'attempt', attempts), lead_id, request_id
    FROM finished
    ON CONFLICT DO NOTHING
), resolved AS (  -- the same as resolve_replays
    UPDATE replay_queue
    SET state = 'resolved', payload = NULL, original_payload = NULL, next_attempt_at = NULL, requested_at = NULL, updated_at = now()
    WHERE state <> 'resolved' AND id IN (
        SELECT queue_id FROM finished WHERE state = 'sent'
        UNION ALL
        SELECT q.id FROM finished
        JOIN replay_queue q ON q.stage = 'notifier' AND q.lead_id = finished.lead_id AND q.kind = finished.kind
                           AND NOT q.by_origin
        WHERE finished.state = 'sent')
)
SELECT lead_id, kind, state FROM started UNION ALL SELECT lead_id, kind, state FROM finished;

-- name: release_rows!
-- End the leases of mails that were not sent, so that the next process need not wait. Reset a delivery in `sending` only
-- if its attempt has ended: this process may have started another attempt in the meantime.
UPDATE email_delivery d
SET state = 'reserved', lease_until = now(), updated_at = now()
FROM unnest(:lead_ids::uuid[], :kinds::text[], :tried::boolean[]) AS released (lead_id, kind, tried)
WHERE d.lead_id = released.lead_id AND d.kind = released.kind AND d.owner = :owner
  AND (d.state = 'reserved' OR (d.state = 'sending' AND released.tried));

-- name: suppress_row$
-- Mark this mail as suppressed, unless it was sent. Returns its attempts.
UPDATE email_delivery
SET state = 'suppressed', reason = :reason, recipient = CASE WHEN :reason <> 'erased' THEN recipient END, owner = NULL, lease_until = NULL, updated_at = now(),
    settled_by = :record_id
WHERE lead_id = :lead_id AND kind = :kind AND state <> 'sent'
RETURNING attempts;
