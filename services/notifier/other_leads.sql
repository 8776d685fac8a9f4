-- name: other_leads
-- The other leads of the persons of these leads, at the same site: the latest ones, and how many there are. A person is
-- found by address (lead_inbox_email) or by the last digits of the phone (lead_inbox_phone_ending), as on a person's page.
-- At most `bound` leads are read for an address or a phone, so that a person with very many leads takes no longer.
SELECT person.lead_id, other.id, other.created_at_utc, other.service, other.total
FROM unnest(:lead_ids::uuid[], :sites::text[], :emails::text[], :endings::text[]) AS person (lead_id, site, email, ending)
CROSS JOIN LATERAL (
    SELECT id, created_at_utc, service, count(*) OVER () AS total
    FROM (
        (SELECT id, created_at_utc, service FROM lead_inbox
         WHERE lower(email) = lower(person.email) AND site = person.site AND id <> person.lead_id
               AND status NOT IN ('erased', 'held', 'spam')
         LIMIT :bound)
        UNION
        (SELECT id, created_at_utc, service FROM lead_inbox
         WHERE phone IS NOT NULL AND right(search_text, 7) = right(person.ending, 7)
               AND search_text LIKE '%' || person.ending AND site = person.site AND id <> person.lead_id
               AND status NOT IN ('erased', 'held', 'spam')
         LIMIT :bound)
    ) AS found
    ORDER BY created_at_utc DESC, id DESC
    LIMIT :latest
) AS other
ORDER BY person.lead_id, other.created_at_utc DESC, other.id DESC;
