-- name: keep_erasures_out!
-- No lead is erased until this transaction ends (erase_lead holds this lock alone).
SELECT pg_advisory_xact_lock_shared(hashtextextended('fastcore.erase', 0));

-- name: lock_rows
-- The deliveries of a batch's leads, locked in one order for all processes.
SELECT lead_id, kind, state, owner, settled_by,
       coalesce(extract(epoch FROM lease_until - clock_timestamp()), 0)::float8 AS lease_seconds
FROM email_delivery
WHERE lead_id = ANY(:lead_ids::uuid[])
ORDER BY lead_id, kind
FOR UPDATE;

-- name: statuses
-- What the inbox says of these leads; it may not know one yet.
SELECT id, status FROM lead_inbox WHERE id = ANY(:lead_ids::uuid[]);

-- name: lock_mailboxes
-- One process at a time counts the welcomes to a mailbox; sorted, so that two cannot wait for each other.
SELECT pg_advisory_xact_lock(hashtextextended(mailbox, 0))
FROM unnest(:mailboxes::text[]) WITH ORDINALITY AS one (mailbox, place) ORDER BY place;

-- name: recent_welcomes
-- The leads of the last day whose welcome went, or is about to go, to these mailboxes.
SELECT mailbox, lead_id FROM email_delivery
WHERE mailbox = ANY(:mailboxes::text[]) AND kind = 'welcome' AND state <> 'suppressed'
  AND created_at > now() - interval '24 hours';

-- name: welcomes_of_sites
-- How many leads of a site that came within an hour were welcomed, or are about to be.
SELECT place.site, place.hour, count(d.lead_id) AS welcomes
FROM unnest(:sites::text[], :hours::timestamptz[]) AS place (site, hour)
LEFT JOIN email_delivery d ON d.site = place.site AND d.kind = 'welcome' AND d.state <> 'suppressed'
    AND d.lead_received_at >= place.hour AND d.lead_received_at < place.hour + interval '1 hour'
GROUP BY place.site, place.hour;

-- name: insert_rows
-- A lead's first record makes its rows: reserved for this process, or suppressed.
INSERT INTO email_delivery (lead_id, kind, state, owner, lease_until, recipient, mailbox, message_id, reason,
                            settled_by, site, lead_received_at)
SELECT lead_id, kind, CASE WHEN reason IS NULL THEN 'reserved' ELSE 'suppressed' END,
       CASE WHEN reason IS NULL THEN :owner::uuid END,
       CASE WHEN reason IS NULL THEN now() + make_interval(secs => :lease_seconds::float8) END,
       CASE WHEN reason IS DISTINCT FROM 'erased' THEN recipient END,
       CASE WHEN reason IS DISTINCT FROM 'erased' THEN mailbox END, message_id, reason,
       CASE WHEN reason IS NOT NULL THEN record_id END, site, received_at
FROM unnest(:lead_ids::uuid[], :kinds::text[], :recipients::text[], :mailboxes::text[], :message_ids::text[],
            :reasons::text[], :record_ids::uuid[], :sites::text[], :received_ats::timestamptz[])
    AS made (lead_id, kind, recipient, mailbox, message_id, reason, record_id, site, received_at)
ORDER BY lead_id, kind
ON CONFLICT DO NOTHING
RETURNING lead_id;

-- name: take_rows!
-- Reserve these deliveries for this process, to the address of the record in hand: it may have been
-- corrected. One whose process ended after the body stays `sending`, and what it was.
UPDATE email_delivery d
SET state = CASE WHEN d.state = 'sending' THEN 'sending' ELSE 'reserved' END,
    recipient = CASE WHEN d.state = 'sending' THEN d.recipient ELSE taken.recipient END,
    mailbox = CASE WHEN d.state = 'sending' THEN d.mailbox ELSE taken.mailbox END, owner = :owner::uuid,
    lease_until = now() + make_interval(secs => :lease_seconds::float8), updated_at = now()
FROM unnest(:lead_ids::uuid[], :kinds::text[], :recipients::text[], :mailboxes::text[])
    AS taken (lead_id, kind, recipient, mailbox)
WHERE d.lead_id = taken.lead_id AND d.kind = taken.kind;

-- name: move_mails
-- The next states of many deliveries, in one statement, and so in one commit and one round trip. What does not come
-- back is not ours any more, or, where it was to be sent, its lead is erased: who waited here for the erasure sees
-- the row that it emptied, but lead_inbox as it was before. Rows are locked in the order that all processes keep.
WITH moving AS (
    SELECT one.lead_id, one.kind, one.state, one.reason, one.code, one.enhanced, one.answer, one.tries, one.record_id,
           one.event, one.event_id, one.request_id, one.queue_id
    FROM email_delivery d
    JOIN unnest(:lead_ids::uuid[], :kinds::text[], :states::text[], :reasons::text[], :codes::int[], :enhanced::text[],
                :answers::text[], :tries::int[], :record_ids::uuid[], :events::text[], :event_ids::uuid[],
                :request_ids::text[], :queue_ids::uuid[])
        AS one (lead_id, kind, state, reason, code, enhanced, answer, tries, record_id, event, event_id, request_id,
                queue_id) ON d.lead_id = one.lead_id AND d.kind = one.kind
    ORDER BY d.lead_id, d.kind
    FOR UPDATE OF d
), begun AS (  -- from here on these mails may be out
    UPDATE email_delivery d
    SET state = 'sending', lease_until = now() + make_interval(secs => :lease_seconds::float8), updated_at = now()
    FROM moving one
    WHERE d.lead_id = one.lead_id AND d.kind = one.kind AND one.state = 'sending' AND d.state = 'reserved'
      AND d.owner = :owner AND d.recipient IS NOT NULL
      AND NOT EXISTS (SELECT FROM lead_inbox WHERE id = d.lead_id AND status = 'erased')
    RETURNING d.lead_id, d.kind, d.state
), settled AS (  -- of an erased lead (its recipient is null) no answer is kept either
    UPDATE email_delivery d
    -- One whose last retry this was may be known as dead already (the flusher's settle_dead_mail).
    SET state = CASE WHEN one.state = 'waiting' AND d.settled_by = one.record_id THEN 'dead' ELSE one.state END, reason = one.reason, owner = NULL, lease_until = NULL, updated_at = now(),
        attempts = d.attempts + one.tries, smtp_answer = CASE WHEN d.recipient IS NOT NULL THEN one.answer END,
        sent_at = CASE WHEN one.state = 'sent' THEN now() END, settled_by = one.record_id
    FROM moving one
    WHERE d.lead_id = one.lead_id AND d.kind = one.kind AND one.state <> 'sending'
      AND d.state IN ('reserved', 'sending') AND d.owner = :owner
    RETURNING one.lead_id, one.kind, one.state, one.reason, one.code, one.enhanced, one.record_id, one.event,
              one.event_id, one.request_id, one.queue_id, d.attempts
), audited AS (
    INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id)
    SELECT event_id, event, 'notifier', code, jsonb_build_object('kind', kind, 'reason', reason, 'code', code,
           'enhanced', enhanced, 'attempt', attempts), lead_id, request_id
    FROM settled
    ON CONFLICT (event_id) DO NOTHING
), resolved AS (  -- as resolve_replays does
    UPDATE replay_queue
    SET state = 'resolved', payload = NULL, original_payload = NULL, next_attempt_at = NULL, requested_at = NULL, updated_at = now()
    WHERE state <> 'resolved' AND id IN (
        SELECT queue_id FROM settled WHERE state = 'sent'
        UNION ALL
        SELECT q.id FROM settled
        JOIN replay_queue q ON q.stage = 'notifier' AND q.lead_id = settled.lead_id AND q.kind = settled.kind
                           AND NOT q.by_origin
        WHERE settled.state = 'sent')
)
SELECT lead_id, kind, state FROM begun UNION ALL SELECT lead_id, kind, state FROM settled;

-- name: release_rows!
-- Give back what was not sent: whoever takes its record next need not wait for our lease. What is
-- `sending` only where its try has ended: another try of this process may have begun meanwhile.
UPDATE email_delivery d
SET state = 'reserved', lease_until = now(), updated_at = now()
FROM unnest(:lead_ids::uuid[], :kinds::text[], :tried::boolean[]) AS released (lead_id, kind, tried)
WHERE d.lead_id = released.lead_id AND d.kind = released.kind AND d.owner = :owner
  AND (d.state = 'reserved' OR (d.state = 'sending' AND released.tried));

-- name: suppress_row$
-- This mail must not be sent.
UPDATE email_delivery
SET state = 'suppressed', reason = :reason, recipient = CASE WHEN :reason <> 'erased' THEN recipient END, owner = NULL, lease_until = NULL, updated_at = now(),
    settled_by = :record_id
WHERE lead_id = :lead_id AND kind = :kind AND state <> 'sent'
RETURNING attempts;

-- name: insert_entries!
-- Append audit entries; one that is there already is left as it is.
INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id)
SELECT event_id, event, 'notifier', status_code, details, lead_id, request_id
FROM unnest(:event_ids::uuid[], :events::text[], :status_codes::int[], :details::jsonb[], :lead_ids::uuid[],
            :request_ids::text[]) AS entry (event_id, event, status_code, details, lead_id, request_id)
ON CONFLICT (event_id) DO NOTHING;

-- name: resolve_replays!
-- The effects are there, or are not wanted any more: the replays are over and their payloads not needed.
UPDATE replay_queue
SET state = 'resolved', payload = NULL, original_payload = NULL, next_attempt_at = NULL, requested_at = NULL, updated_at = now()
WHERE state <> 'resolved' AND id IN (
    SELECT unnest(:queue_ids::uuid[])
    UNION ALL
    SELECT q.id FROM unnest(:lead_ids::uuid[], :kinds::text[]) AS done (lead_id, kind)
    JOIN replay_queue q ON q.stage = 'notifier' AND q.lead_id = done.lead_id AND q.kind = done.kind
                       AND NOT q.by_origin);
