-- name: lock_mails
-- Lock the emails of these leads, in the order of all other writers, so that none deadlocks.
SELECT lead_id, kind, state, site, message_id, smtp_answer, coalesce(mailbox, CASE WHEN kind = 'welcome' THEN recipient END) AS mailbox,
       coalesce(extract(epoch FROM lease_until - clock_timestamp()), 0)::float8 AS lease_seconds
FROM email_delivery WHERE lead_id = ANY(:lead_ids::uuid[]) ORDER BY lead_id, kind FOR UPDATE;

-- name: move_mail!
-- Write the state of an email that came back. The server's text is not stored for an erased lead.
UPDATE email_delivery
SET state = :state, reason = :reason, owner = NULL, lease_until = NULL, updated_at = now(),
    smtp_answer = CASE WHEN recipient IS NOT NULL THEN coalesce(:answer, smtp_answer) END
WHERE lead_id = :lead_id AND kind = :kind;

-- name: stored_lead^
-- The lead of an email that bounced, so that the email can be sent again.
SELECT id, request_id, site, email, service, status, name, phone, company, message, consent, consent_text,
       consent_version, locale, submitted_at, source, extra, spam_reasons, body_sha256, created_at_utc
FROM lead_inbox WHERE id = :id AND status <> 'erased';

-- name: held_digest_site$
-- The site of a list of held leads, or null if there is no such list.
SELECT site FROM held_digest WHERE id = :id;

-- name: remove_expired$
-- Remove the suppressed addresses that have expired. Returns their number.
WITH removed AS (DELETE FROM suppressed_address WHERE expires_at <= now() RETURNING 1)
SELECT count(*) FROM removed;
