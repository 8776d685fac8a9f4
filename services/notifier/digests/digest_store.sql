-- The queries of digest_store.py.

-- name: try_lock$
-- One process at a time makes digests. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('fastcore.alert_digest', 0));

-- name: has_work$
-- Whether an alert waits for a digest, or a digest is open. Queried every 5 s, without a transaction.
SELECT EXISTS (SELECT FROM collected_alert WHERE digest_id IS NULL)
    OR EXISTS (SELECT FROM alert_digest WHERE ended_at IS NULL);

-- name: now$
SELECT now();

-- name: waiting_sites
-- The sites with alerts that are in no digest yet. If a digest of a site was not tried yet, because the mail server is
-- unavailable, its next digest waits, so that an outage does not cause one email for each period.
SELECT site, min(collected_at) AS collected_at, min(due_at) AS due_at
FROM collected_alert AS alert
WHERE digest_id IS NULL AND NOT EXISTS (
    SELECT FROM alert_digest WHERE site = alert.site AND ended_at IS NULL AND attempts = 0)
GROUP BY site;

-- name: next_alerts
-- The alerts of a site that are in no digest yet, oldest first.
SELECT lead_id, record_id, service, locale FROM collected_alert
WHERE site = :site AND digest_id IS NULL ORDER BY collected_at, lead_id LIMIT :bound::bigint FOR UPDATE;

-- name: make_digest!
-- Make a digest. A record that is collected again after a restore of the database makes the same digest again.
INSERT INTO alert_digest (id, site, recipient, part, parts) VALUES (:digest_id, :site, :recipient, :part, :parts)
ON CONFLICT (id) DO UPDATE
SET recipient = excluded.recipient, part = excluded.part, parts = excluded.parts, owner = NULL, lease_until = NULL,
    attempts = 0, next_attempt_at = now(), reason = NULL, ended_at = NULL;

-- name: list_alerts!
-- List these alerts in a digest.
UPDATE collected_alert SET digest_id = :digest_id WHERE lead_id = ANY(:lead_ids::uuid[]);

-- name: claim^
-- Take one digest that was due at a time. If this process dies, another one takes the digest after the lease.
UPDATE alert_digest
SET owner = :owner, lease_until = now() + make_interval(secs => :lease_seconds::float8)
WHERE id = (SELECT id FROM alert_digest
            WHERE ended_at IS NULL AND next_attempt_at <= :due_at::timestamptz
              AND (lease_until IS NULL OR lease_until <= now())
            ORDER BY next_attempt_at, part LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, site, recipient, part, parts, attempts;

-- name: lock_alerts
-- Lock the alerts of a digest, in the order in which all processes lock them. The fields are those of the stored lead.
-- They are null if the lead is not stored yet.
SELECT alert.lead_id, mail.state, mail.recipient IS NULL AS is_erased, alert.record_id, alert.record_topic,
       alert.record_partition, alert.record_offset, alert.record_timestamp, alert.record_key, alert.payload,
       alert.headers, alert.collected_at, lead.status, lead.name, lead.email, lead.phone, lead.service,
       left(lead.message, 500) AS message, lead.created_at_utc
FROM collected_alert AS alert
JOIN email_delivery AS mail ON mail.lead_id = alert.lead_id AND mail.kind = 'admin_alert'
LEFT JOIN lead_inbox AS lead ON lead.id = alert.lead_id
WHERE alert.digest_id = :digest_id ORDER BY mail.lead_id FOR UPDATE OF mail;

-- name: end_erased!
-- The alerts of leads that were erased while a process sent this digest, and then died: maybe after the body. The erasure
-- took them out of the digest, so nobody else gives them an outcome.
WITH finished AS (
    UPDATE email_delivery
    SET state = 'unknown', reason = :reason, owner = NULL, lease_until = NULL, updated_at = now()
    WHERE kind = 'admin_alert' AND message_id LIKE '<%.alert_digest@%' AND substr(message_id, 2, 36) = :digest_id::uuid::text
      AND state = 'sending' AND recipient IS NULL
    RETURNING lead_id, attempts
)
INSERT INTO audit_log (event_id, event, actor, details_json, lead_id)
SELECT gen_random_uuid(), 'email.unknown', 'notifier', jsonb_build_object('kind', 'admin_alert', 'reason', :reason::text,
       'attempt', attempts, 'digest_id', :digest_id::uuid), lead_id
FROM finished;

-- name: hold$
-- Extend the lease of a digest. Returns null if this process lost it.
UPDATE alert_digest SET lease_until = now() + make_interval(secs => :lease_seconds::float8)
WHERE id = :digest_id AND owner = :owner AND ended_at IS NULL RETURNING id;

-- name: lock_mails
-- Lock the rows of these alerts, in the order in which all processes lock them.
SELECT lead_id FROM email_delivery WHERE lead_id = ANY(:lead_ids::uuid[]) AND kind = 'admin_alert'
ORDER BY lead_id FOR UPDATE;

-- name: start_mails
-- From this commit on the digest may have been sent. Returns the alerts that may be listed: not those of leads that
-- were erased or marked as spam meanwhile.
UPDATE email_delivery AS mail
SET state = 'sending', owner = :owner, lease_until = now() + make_interval(secs => :lease_seconds::float8),
    message_id = :message_id, recipient = :recipient, updated_at = now()
FROM collected_alert AS alert
WHERE alert.lead_id = mail.lead_id AND alert.digest_id = :digest_id AND mail.lead_id = ANY(:lead_ids::uuid[])
  AND mail.kind = 'admin_alert' AND mail.state IN ('collected', 'waiting', 'unknown') AND mail.recipient IS NOT NULL
  AND NOT EXISTS (SELECT FROM lead_inbox WHERE id = mail.lead_id AND status IN ('spam', 'held', 'erased'))
RETURNING mail.lead_id;

-- name: move_mails!
-- Write the outcomes of a digest's alerts, with their audit entries. The queue rows of sent alerts are resolved. An erased
-- lead has left the digest, so its alert is not sent again.
WITH target AS (
    SELECT moved.lead_id, moved.event_id, moved.request_id,
           CASE WHEN next.is_erased THEN 'suppressed' ELSE moved.state END AS state,
           CASE WHEN next.is_erased THEN 'erased' ELSE moved.reason END AS reason,
           CASE WHEN next.is_erased THEN 'email.suppressed' ELSE moved.event END AS event
    FROM unnest(:lead_ids::uuid[], :states::text[], :reasons::text[], :events::text[], :event_ids::uuid[],
                         :request_ids::text[]) AS moved (lead_id, state, reason, event, event_id, request_id)
    JOIN email_delivery AS mail ON mail.lead_id = moved.lead_id AND mail.kind = 'admin_alert'
    CROSS JOIN LATERAL (SELECT moved.state = 'waiting' AND mail.recipient IS NULL AS is_erased) AS next
), finished AS (  -- the reply to a mail of an erased lead is not stored
    UPDATE email_delivery AS mail
    SET state = target.state, reason = target.reason, owner = NULL, lease_until = NULL, updated_at = now(),
        attempts = mail.attempts + :tries::int, smtp_answer = CASE WHEN mail.recipient IS NOT NULL THEN :answer END,
        failure_group = CASE WHEN target.state NOT IN ('sent', 'suppressed') THEN :quote END,
        sent_at = CASE WHEN target.state = 'sent' THEN now() END
    FROM target
    WHERE mail.lead_id = target.lead_id AND mail.kind = 'admin_alert'
      AND mail.state IN ('collected', 'waiting', 'unknown', 'sending')
    RETURNING target.lead_id, target.state, target.reason, target.event, target.event_id, target.request_id,
              mail.attempts
), audited AS (
    INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id)
    SELECT event_id, event, 'notifier', :code, jsonb_build_object('kind', 'admin_alert', 'reason', reason,
           'code', :code::int, 'enhanced', :enhanced::text, 'attempt', attempts, 'digest_id', :digest_id::uuid),
           lead_id, request_id
    FROM finished
    ON CONFLICT DO NOTHING
)
UPDATE replay_queue
SET state = 'resolved', payload = NULL, original_payload = NULL, next_attempt_at = NULL, requested_at = NULL,
    updated_at = now()
FROM finished
WHERE replay_queue.stage = 'notifier' AND replay_queue.lead_id = finished.lead_id
  AND replay_queue.kind = 'admin_alert' AND NOT replay_queue.by_origin AND replay_queue.state <> 'resolved'
  AND finished.state = 'sent';

-- name: reset_mails!
-- The digest was certainly not sent: its alerts wait again, except those of erased leads, which have left it.
UPDATE email_delivery
SET state = CASE WHEN recipient IS NULL THEN 'suppressed' ELSE 'collected' END,
    reason = CASE WHEN recipient IS NULL THEN 'erased' ELSE reason END,
    owner = NULL, lease_until = NULL, updated_at = now()
WHERE kind = 'admin_alert' AND state = 'sending' AND owner = :owner AND lead_id = ANY(:lead_ids::uuid[]);

-- name: leave!
-- These alerts leave their digest.
DELETE FROM collected_alert WHERE lead_id = ANY(:lead_ids::uuid[]);

-- name: end_digest!
UPDATE alert_digest SET ended_at = now(), owner = NULL, lease_until = NULL, reason = :reason, attempts = attempts + :tries::int
WHERE id = :digest_id;

-- name: postpone!
-- Release a digest, and record why an attempt failed and when the next one is.
UPDATE alert_digest
SET owner = NULL, lease_until = NULL, reason = :reason, attempts = attempts + :tries::int,
    next_attempt_at = now() + make_interval(secs => :seconds::float8)
WHERE id = :digest_id AND owner = :owner AND ended_at IS NULL;
