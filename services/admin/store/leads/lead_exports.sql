-- The queries of store/leads/lead_exports.py: the leads of an export.

-- name: list_export
-- One chunk of an export, newest first. `written_notes` are the notes with author and time, newest
-- first, as far as a spreadsheet shows them: a lead may have 500 notes of 10,000 characters.
SELECT lead_inbox.id, created_at_utc, status, service, name, email, phone, company, message, assignee, notes, consent,
       consent_version, locale, submitted_at, source, spam_reasons, extra, site, request_id,
       (SELECT left(string_agg(to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC, ' || author || ': '
                               || body, E'\n' ORDER BY created_at DESC, lead_note.id DESC), 32768)
        FROM lead_note WHERE lead_id = lead_inbox.id) AS written_notes
FROM (
    SELECT id FROM lead_inbox
    WHERE {lead_filter}
      AND (:after_at::timestamptz IS NULL OR (created_at_utc, id) < (:after_at, :after_id::uuid))
    ORDER BY created_at_utc DESC, id DESC
    LIMIT :limit::bigint
) AS page JOIN lead_inbox USING (id)
ORDER BY created_at_utc DESC, id DESC;

-- name: list_chosen
-- Leads by their ids, newest first.
SELECT lead_inbox.id, created_at_utc, status, service, name, email, phone, company, message, assignee, notes, consent,
       consent_version, locale, submitted_at, source, spam_reasons, extra, site, request_id,
       (SELECT left(string_agg(to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC, ' || author || ': '
                               || body, E'\n' ORDER BY created_at DESC, lead_note.id DESC), 32768)
        FROM lead_note WHERE lead_id = lead_inbox.id) AS written_notes
FROM lead_inbox WHERE id = ANY(:ids::uuid[]) ORDER BY created_at_utc DESC, id DESC;
