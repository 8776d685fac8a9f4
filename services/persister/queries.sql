-- name: insert_leads
-- Store a batch of leads; only those that were not there come back.
INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, phone, company, message, consent,
                        consent_text, consent_version, locale, submitted_at, source, extra, spam_reasons,
                        body_sha256, created_at_utc)
SELECT id, request_id, site, email, service, CASE WHEN spam = '' THEN 'received' ELSE 'spam' END, name, phone,
       company, message, consent, consent_text, consent_version, locale, submitted_at, source, extra,
       string_to_array(spam, ','), body_sha256, created_at_utc
FROM unnest(:ids::uuid[], :request_ids::text[], :sites::text[], :emails::text[], :services::text[],
            :names::text[], :phones::text[], :companies::text[], :messages::text[], :consents::boolean[],
            :consent_texts::text[], :consent_versions::text[], :locales::text[], :submitted_ats::timestamptz[],
            :sources::jsonb[], :extras::jsonb[], :spams::text[], :body_sha256s::text[], :created_ats::timestamptz[])
    AS lead (id, request_id, site, email, service, name, phone, company, message, consent, consent_text,
             consent_version, locale, submitted_at, source, extra, spam, body_sha256, created_at_utc)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: known_leads
-- What stands under ids that were there already: the same body (or a tombstone) is a duplicate.
SELECT id, body_sha256, status FROM lead_inbox WHERE id = ANY(:ids::uuid[]);

-- name: insert_entries
-- Append audit entries; one that is there already is left as it is.
INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc)
SELECT * FROM unnest(:event_ids::uuid[], :events::text[], :actors::text[], :status_codes::int[], :details::jsonb[],
                     :lead_ids::uuid[], :request_ids::text[], :created_ats::timestamptz[])
ON CONFLICT (event_id) DO NOTHING
RETURNING event_id;

-- name: resolve_replays!
-- The effect of these replays is there, whoever brought it: their payloads are not needed any more.
UPDATE replay_queue
SET state = 'resolved', payload = NULL, next_attempt_at = NULL, requested_at = NULL, updated_at = now()
WHERE id = ANY(:ids::uuid[]) AND state <> 'resolved';
