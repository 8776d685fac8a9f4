-- The queries of held_digests.py.

-- name: try_lock$
-- One process at a time collects digests. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('fastcore.held_digest', 0));

-- name: collect!
-- Make a digest for each site that has held leads in none, and had no digest within the interval. Leads of a moment
-- come together: the first waits for the others. A lead that is not stored yet comes into a later digest.
WITH undigested AS (
    SELECT held.lead_id, held.site, held.held_at FROM held_lead AS held
    WHERE held.digest_id IS NULL AND EXISTS (SELECT FROM lead_inbox WHERE id = held.lead_id)
), due AS (
    INSERT INTO held_digest (id, site)
    SELECT gen_random_uuid(), site FROM undigested
    WHERE NOT EXISTS (SELECT FROM held_digest AS before WHERE before.site = undigested.site
                      AND before.created_at > now() - make_interval(secs => :interval_seconds::float8))
    GROUP BY site HAVING min(held_at) <= now() - make_interval(secs => :collect_seconds::float8)
    RETURNING id, site
)
UPDATE held_lead SET digest_id = due.id FROM due JOIN undigested USING (site)
WHERE held_lead.lead_id = undigested.lead_id;

-- name: claim^
-- Take one digest that is due. If this process dies, another one sends the digest after the lease.
UPDATE held_digest SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => :lease_seconds::float8)
WHERE id = (SELECT id FROM held_digest WHERE sent_at IS NULL AND next_attempt_at <= now()
            ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, site, attempts;

-- name: leads
-- The leads of a digest, the newest first, and how many there are. Leads that were erased or marked as spam meanwhile
-- are left out; released ones are not, because this is the only email to the team about them.
SELECT lead.id, lead.created_at_utc, lead.name, coalesce(nullif(lead.email, ''), lead.phone, '') AS contact,
       left(lead.message, 500) AS message, count(*) OVER () AS total
FROM held_lead AS held JOIN lead_inbox AS lead ON lead.id = held.lead_id
WHERE held.digest_id = :digest_id AND lead.status NOT IN ('spam', 'erased')
ORDER BY lead.created_at_utc DESC, lead.id DESC LIMIT :bound::bigint;

-- name: mark_sent!
UPDATE held_digest SET sent_at = now(), reason = NULL WHERE id = :digest_id;

-- name: postpone!
-- Record why an attempt failed, and when the next one is.
UPDATE held_digest SET reason = :reason, next_attempt_at = now() + make_interval(secs => :seconds::float8)
WHERE id = :digest_id AND sent_at IS NULL;
