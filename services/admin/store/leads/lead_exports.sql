-- The queries of store/leads/lead_exports.py: the leads of an export.

-- name: list_export
-- One chunk of an export, newest first.
SELECT id, created_at_utc, status, service, name, email, phone, company, message, assignee, notes, consent,
       consent_version, locale, submitted_at, source, spam_reasons, extra, site, request_id
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
SELECT id, created_at_utc, status, service, name, email, phone, company, message, assignee, notes, consent,
       consent_version, locale, submitted_at, source, spam_reasons, extra, site, request_id
FROM lead_inbox WHERE id = ANY(:ids::uuid[]) ORDER BY created_at_utc DESC, id DESC;
