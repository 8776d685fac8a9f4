-- The queries of store/personal_data.py: edit and export a person's data.

-- name: lock_queued
-- The queued records of a lead that could not be stored: the persister's, or what a website had queued and the gateway
-- refused. Newest first, locked until this transaction ends.
SELECT id, stage, state, payload, updated_at FROM replay_queue
WHERE lead_id = :id AND (stage = 'persister' AND NOT by_origin OR stage = 'site') ORDER BY last_failed_at DESC, id FOR UPDATE;

-- name: edit_lead$
-- Change a lead's fields. `original` keeps the first values. The hash stays, so that a redelivery is a duplicate.
UPDATE lead_inbox
SET name = :name, email = :email, phone = :phone, company = :company, service = :service, message = :message,
    assignee = :assignee, notes = :notes, original = coalesce(original, :original::jsonb), updated_at = now()
WHERE id = :id
RETURNING updated_at;

-- name: edit_queued!
-- Change a queued record before its replay. `original_payload` keeps the first record.
UPDATE replay_queue
SET original_payload = coalesce(original_payload, payload), payload = :payload::bytea, updated_at = now()
WHERE id = :id;

-- name: edit_mails
-- Give a lead's emails that may be sent again its new fields.
UPDATE replay_queue
SET original_payload = coalesce(original_payload, payload), payload = :payload::bytea, updated_at = now()
WHERE lead_id = :id AND stage = 'notifier' AND NOT by_origin AND payload IS NOT NULL AND state <> 'resolved'
RETURNING id;

-- name: read_lead^
-- One lead with every column, except `search_text`, which is derived from the others.
SELECT id, request_id, site, email, service, status, name, phone, company, message, consent, consent_text,
       consent_version, locale, submitted_at, source, extra, spam_reasons, body_sha256, assignee, notes,
       created_at_utc, stored_at, updated_at, original, stored
FROM lead_inbox WHERE id = :id;

-- name: read_emails
-- The emails of a lead, every column.
SELECT lead_id, kind, state, owner, lease_until, attempts, recipient, message_id, reason, smtp_answer, settled_by,
       created_at, updated_at, sent_at, mailbox, site, lead_received_at, outcome_at, requested_at, failure_group
FROM email_delivery WHERE lead_id = :id ORDER BY kind DESC;

-- name: read_queue
-- A lead's rows in the replay queue, with their records and the addresses in them.
SELECT id, stage, kind, lead_id, state, reason, headers, payload, original_payload, first_failed_at, last_failed_at,
       updated_at, by_origin, record_addresses(payload) || record_addresses(original_payload) AS addresses
FROM replay_queue WHERE lead_id = :id ORDER BY first_failed_at, id;

-- name: read_entries
-- A lead's audit entries, oldest first.
SELECT id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc
FROM audit_log WHERE lead_id = :id ORDER BY created_at_utc, id;

-- name: archived_until$
-- Until when entries of a lead may have been archived. Null if none can have been.
SELECT max(last_at) FROM audit_archive WHERE last_at >= :since::timestamptz;

-- name: read_records
-- Rows of the queue, with their records.
SELECT id, stage, kind, lead_id, state, reason, headers, payload, original_payload, first_failed_at, last_failed_at,
       updated_at, by_origin
FROM replay_queue WHERE id = ANY(:ids::uuid[]) ORDER BY first_failed_at, id;
