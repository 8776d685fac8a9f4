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

-- name: lock_addresses
-- One process at a time counts the welcomes to an address; sorted, so that two cannot wait for each other.
SELECT pg_advisory_xact_lock(hashtextextended(address, 0))
FROM unnest(:addresses::text[]) WITH ORDINALITY AS one (address, place) ORDER BY place;

-- name: recent_welcomes
-- The leads of the last day whose welcome went, or is about to go, to these addresses.
SELECT recipient, lead_id FROM email_delivery
WHERE recipient = ANY(:addresses::text[]) AND kind = 'welcome' AND state <> 'suppressed'
  AND created_at > now() - interval '24 hours';

-- name: insert_rows
-- A lead's first record makes its rows: reserved for this process, or suppressed.
INSERT INTO email_delivery (lead_id, kind, state, owner, lease_until, recipient, message_id, reason, settled_by)
SELECT lead_id, kind, CASE WHEN reason IS NULL THEN 'reserved' ELSE 'suppressed' END,
       CASE WHEN reason IS NULL THEN :owner::uuid END,
       CASE WHEN reason IS NULL THEN now() + make_interval(secs => :lease_seconds::float8) END,
       CASE WHEN reason IS DISTINCT FROM 'erased' THEN recipient END, message_id, reason, CASE WHEN reason IS NOT NULL THEN record_id END
FROM unnest(:lead_ids::uuid[], :kinds::text[], :recipients::text[], :message_ids::text[], :reasons::text[],
            :record_ids::uuid[]) AS made (lead_id, kind, recipient, message_id, reason, record_id)
ORDER BY lead_id, kind
ON CONFLICT DO NOTHING
RETURNING lead_id;

-- name: take_rows!
-- Reserve these deliveries for this process, to the address of the record in hand: it may have been
-- corrected. One whose process ended after the body stays `sending`, and what it was.
UPDATE email_delivery d
SET state = CASE WHEN d.state = 'sending' THEN 'sending' ELSE 'reserved' END,
    recipient = CASE WHEN d.state = 'sending' THEN d.recipient ELSE taken.recipient END, owner = :owner::uuid,
    lease_until = now() + make_interval(secs => :lease_seconds::float8), updated_at = now()
FROM unnest(:lead_ids::uuid[], :kinds::text[], :recipients::text[]) AS taken (lead_id, kind, recipient)
WHERE d.lead_id = taken.lead_id AND d.kind = taken.kind;

-- name: begin_sending$
-- From here on the mail may be out. Nothing comes back where the delivery is not ours any more, or its lead erased: who
-- waited here for the erasure sees the row that it emptied, but lead_inbox as it was before.
UPDATE email_delivery
SET state = 'sending', lease_until = now() + make_interval(secs => :lease_seconds::float8), updated_at = now()
WHERE lead_id = :lead_id AND kind = :kind AND state = 'reserved' AND owner = :owner AND recipient IS NOT NULL
  AND NOT EXISTS (SELECT FROM lead_inbox WHERE id = :lead_id AND status = 'erased')
RETURNING 1;

-- name: release_rows!
-- Give back what was not sent: whoever takes its record next need not wait for our lease. What is
-- `sending` only where its try has ended: another try of this process may have begun meanwhile.
UPDATE email_delivery d
SET state = 'reserved', lease_until = now(), updated_at = now()
FROM unnest(:lead_ids::uuid[], :kinds::text[], :tried::boolean[]) AS released (lead_id, kind, tried)
WHERE d.lead_id = released.lead_id AND d.kind = released.kind AND d.owner = :owner
  AND (d.state = 'reserved' OR (d.state = 'sending' AND released.tried));

-- name: settle$
-- The outcome of a delivery that is ours. An erased lead's recipient is null: then no answer is kept either.
UPDATE email_delivery
SET state = :state, reason = :reason, owner = NULL, lease_until = NULL, updated_at = now(),
    attempts = attempts + :attempts,
    smtp_answer = CASE WHEN recipient IS NOT NULL THEN :answer END,
    sent_at = CASE WHEN :state = 'sent' THEN now() END, settled_by = :record_id
WHERE lead_id = :lead_id AND kind = :kind AND state IN ('reserved', 'sending') AND owner = :owner
RETURNING attempts;

-- name: suppress_row$
-- This mail must not be sent.
UPDATE email_delivery
SET state = 'suppressed', reason = :reason, recipient = CASE WHEN :reason <> 'erased' THEN recipient END, owner = NULL, lease_until = NULL, updated_at = now(),
    settled_by = :record_id
WHERE lead_id = :lead_id AND kind = :kind AND state <> 'sent'
RETURNING attempts;

-- name: insert_entry!
-- Append one audit entry; one that is there already is left as it is.
INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id)
VALUES (:event_id, :event, 'notifier', :status_code, :details, :lead_id, :request_id)
ON CONFLICT (event_id) DO NOTHING;

-- name: resolve_replay!
-- The effect is there, or is not wanted any more: the replay is over and its payload not needed.
UPDATE replay_queue
SET state = 'resolved', payload = NULL, next_attempt_at = NULL, requested_at = NULL, updated_at = now()
WHERE (id = :queue_id OR (stage = 'notifier' AND lead_id = :lead_id AND kind = :kind AND NOT by_origin))
  AND state <> 'resolved';
