-- The queries of store/erasure.py: find and erase a person. `runtime.database.erasure` erases a lead.

-- name: find_by_email
-- Where an address is stored, in any spelling: leads (stored, original, mailed to, or waiting to be stored), and queued
-- records under the id of another lead or of none. Two addresses may have the same hash.
SELECT id AS lead_id, NULL::uuid AS queue_id FROM lead_inbox WHERE lower(email) = lower(:email)
UNION SELECT id, NULL FROM lead_inbox WHERE original IS NOT NULL AND lower(original ->> 'email') = lower(:email)
UNION SELECT lead_id, NULL FROM email_delivery WHERE kind = 'welcome' AND recipient = lower(:email)
UNION SELECT CASE WHEN NOT by_origin THEN lead_id END, CASE WHEN by_origin OR lead_id IS NULL THEN id END
FROM replay_queue
WHERE (payload IS NOT NULL AND record_address_hashes(payload) @> ARRAY[hashtextextended(lower(:email), 0)]
       OR original_payload IS NOT NULL
          AND record_address_hashes(original_payload) @> ARRAY[hashtextextended(lower(:email), 0)])
  AND lower(:email) = ANY(record_addresses(payload) || record_addresses(original_payload));

-- name: find_by_phone
-- Stored leads whose phone ends with these digits, at least seven. `search_text` ends with the digits of the phone.
SELECT id AS lead_id, NULL::uuid AS queue_id FROM lead_inbox
WHERE phone IS NOT NULL AND right(search_text, 7) = right(:ending, 7) AND search_text LIKE '%' || :ending
      AND status <> 'erased';

-- name: erase_record$
-- Remove the person from one row of the queue that belongs to no lead.
SELECT erase_record(:id, :actor);

-- name: list_person
-- The leads with these ids that are not erased, newest first, with the fields by which a person recognises them. Without
-- a limit, all of them.
SELECT selected.id AS lead_id, lead.name, lead.phone, lead.site, lead.service, lead.status,
       coalesce(lead.email, (SELECT mail.recipient FROM email_delivery mail
                             WHERE mail.lead_id = selected.id AND mail.kind = 'welcome')) AS email,
       (SELECT count(*) FROM email_delivery mail WHERE mail.lead_id = selected.id) AS emails,
       (SELECT count(*) FROM replay_queue item WHERE item.lead_id = selected.id) AS queue_rows,
       coalesce(lead.created_at_utc,
                (SELECT min(item.first_failed_at) FROM replay_queue item WHERE item.lead_id = selected.id),
                (SELECT min(mail.created_at) FROM email_delivery mail WHERE mail.lead_id = selected.id)) AS created_at_utc
FROM unnest(:ids::uuid[]) AS selected (id)
LEFT JOIN lead_inbox lead ON lead.id = selected.id
WHERE lead.status IS DISTINCT FROM 'erased'
ORDER BY created_at_utc DESC, selected.id
LIMIT :limit::bigint;

-- name: read_newest_records
-- For each of these leads, the record that is stored or mailed next, with its addresses. Prefers the persister's record,
-- which an edit changes. A payload above the maximum size is null, but its addresses are returned.
SELECT DISTINCT ON (lead_id) lead_id, stage, updated_at, record_addresses(payload) AS addresses,
       CASE WHEN octet_length(payload) <= :max_bytes::int THEN payload END AS payload
FROM replay_queue
WHERE lead_id = ANY(:ids::uuid[]) AND (NOT by_origin OR stage = 'site') AND payload IS NOT NULL
ORDER BY lead_id, stage = 'persister' DESC, last_failed_at DESC, id;
