-- The queries of store/leads.py: one lead, its status and its emails.

-- name: get_lead^
-- One lead with its emails, its rows in the replay queue and its audit entries. Its columns are null if it is not stored.
-- One statement reads all of it at one moment, in one round trip. The limit bounds a lead with an excess of entries.
SELECT lead.id, lead.request_id, lead.site, lead.email, lead.service, lead.status, lead.name, lead.phone,
       lead.company, lead.message, lead.consent, lead.consent_text, lead.consent_version, lead.locale,
       lead.submitted_at, lead.source, lead.extra, lead.spam_reasons, lead.body_sha256, lead.assignee, lead.notes,
       lead.created_at_utc, lead.stored_at, lead.updated_at,
       emails, queue, entries, lead_notes,
       -- Entries of a lead of before may be in an archive.
       (SELECT max(last_at) FROM audit_archive WHERE last_at >= lead.created_at_utc) AS audit_archived_until
FROM (VALUES (:id::uuid)) AS requested (id)
LEFT JOIN lead_inbox AS lead USING (id)
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(mail ORDER BY kind DESC), '[]')
    FROM (SELECT d.kind, d.state, d.attempts, d.recipient, d.message_id, d.reason, d.smtp_answer, d.created_at,
                 d.updated_at, d.sent_at, CASE WHEN d.kind = 'admin_alert' THEN (
                     SELECT coalesce(digest.next_attempt_at, alert.due_at)
                     FROM collected_alert AS alert LEFT JOIN alert_digest AS digest ON digest.id = alert.digest_id
                     WHERE alert.lead_id = requested.id) END AS digest_at
          FROM email_delivery AS d WHERE d.lead_id = requested.id) AS mail
) AS mails (emails)
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(item ORDER BY first_failed_at, id), '[]')
    FROM (SELECT id, stage, kind, lead_id, state, final, reason, error, attempts, next_attempt_at, requested_at,
                 requested_by, last_sent_at, origin_topic, origin_partition, origin_offset, origin_timestamp, made_by,
                 first_failed_at, last_failed_at, by_origin, lead.name AS lead_name,
                 -- The lead's name, if the lead is not stored.
                 CASE WHEN lead.id IS NULL AND (stage = 'site' OR stage = 'persister' AND NOT by_origin)
                      THEN encode(payload, 'base64') END AS payload
          FROM replay_queue WHERE lead_id = requested.id) AS item
) AS items (queue)
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(entry ORDER BY created_at_utc, id), '[]')
    FROM (SELECT id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc
          FROM audit_log WHERE lead_id = requested.id ORDER BY created_at_utc, id LIMIT 1000) AS entry
) AS audit (entries)
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(note ORDER BY created_at DESC, id DESC), '[]')
    FROM (SELECT id, author, body AS text, created_at, updated_at FROM lead_note WHERE lead_id = requested.id) AS note
) AS written (lead_notes);

-- name: lock_lead^
-- One lead, locked until this transaction ends.
SELECT id, request_id, site, email, service, status, name, phone, company, message, consent, consent_text,
       consent_version, locale, submitted_at, source, extra, spam_reasons, body_sha256, assignee, notes,
       created_at_utc, stored_at, updated_at
FROM lead_inbox WHERE id = :id FOR UPDATE;

-- name: delivery_state$
-- The state of one email; null if the notifier has not processed the lead yet. A notification is `collected` until its
-- digest has its last outcome.
SELECT CASE WHEN kind = 'admin_alert' AND EXISTS (SELECT FROM collected_alert WHERE lead_id = mail.lead_id)
            THEN 'collected' ELSE state END
FROM email_delivery AS mail WHERE lead_id = :id AND kind = :kind;
