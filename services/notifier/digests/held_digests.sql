-- The queries of held_digests.py.

-- name: has_work$
-- Whether a lead waits for a digest, or a digest is not sent. Queried every 15 s, without a transaction.
SELECT EXISTS (SELECT FROM held_lead WHERE digest_id IS NULL)
    OR EXISTS (SELECT FROM held_digest WHERE sent_at IS NULL);

-- name: try_lock$
-- One process at a time collects digests. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('fastcore.held_digest', 0));

-- name: waiting_sites
-- The sites with leads that no digest lists: one entry of the index for each site.
WITH RECURSIVE sites AS (
    (SELECT site FROM held_lead WHERE digest_id IS NULL ORDER BY site LIMIT 1)
    UNION ALL
    SELECT (SELECT held.site FROM held_lead AS held WHERE held.digest_id IS NULL AND held.site > sites.site
            ORDER BY held.site LIMIT 1)
    FROM sites WHERE sites.site IS NOT NULL
)
SELECT site FROM sites WHERE site IS NOT NULL;

-- name: open_digest$
-- A digest of the site that was certainly not sent, and that nobody is sending now, locked: new leads join it. They do not
-- join one that may have arrived: a mailbox could drop the longer list as a repetition, because of its Message-ID.
SELECT id FROM held_digest WHERE site = :site AND sent_at IS NULL AND (attempts = 0 OR reason IS NOT NULL)
ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: make_digest$
-- A new digest, if the site's first waiting lead has waited for others, and if the site's last digest is long enough ago.
INSERT INTO held_digest (id, site)
SELECT gen_random_uuid(), :site
WHERE EXISTS (SELECT FROM held_lead AS held JOIN lead_inbox AS lead ON lead.id = held.lead_id
              WHERE held.site = :site AND held.digest_id IS NULL
                AND held.held_at <= now() - make_interval(secs => :collect_seconds::float8))
  AND NOT EXISTS (SELECT FROM held_digest WHERE site = :site AND (sent_at IS NULL
                  OR sent_at > now() - make_interval(secs => :interval_seconds::float8)))
RETURNING id;

-- name: add_leads!
-- List the site's waiting leads in a digest. A lead that is not stored yet comes into a later one.
UPDATE held_lead SET digest_id = :digest_id
WHERE site = :site AND digest_id IS NULL AND EXISTS (SELECT FROM lead_inbox WHERE id = held_lead.lead_id);

-- name: now$
SELECT now();

-- name: claim^
-- Take one digest that was due at a time. If this process dies, another one sends the digest after the lease.
-- An earlier attempt without a reason may have been sent: its process died, or its outcome is unknown.
WITH due AS MATERIALIZED (
    SELECT id, attempts > 0 AND reason IS NULL AS may_be_sent
    FROM held_digest WHERE sent_at IS NULL AND next_attempt_at <= :due_at::timestamptz
    ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE held_digest AS digest
SET attempts = digest.attempts + 1, reason = NULL,
    next_attempt_at = now() + make_interval(secs => :lease_seconds::float8)
FROM due WHERE digest.id = due.id
RETURNING digest.id, digest.site, digest.attempts, due.may_be_sent;

-- name: leads
-- The leads of a digest, the newest first, and how many there are. Leads that were erased or marked as spam meanwhile
-- are left out. Released leads are listed: the team gets no other email about them.
SELECT lead.id, lead.created_at_utc, lead.name, coalesce(nullif(lead.email, ''), lead.phone, '') AS contact,
       left(lead.message, 500) AS message, lead.status <> 'held' AS released, count(*) OVER () AS total
FROM held_lead AS held JOIN lead_inbox AS lead ON lead.id = held.lead_id
WHERE held.digest_id = :digest_id AND lead.status NOT IN ('spam', 'erased')
ORDER BY lead.created_at_utc DESC, lead.id DESC LIMIT :bound::bigint;

-- name: mark_sent!
UPDATE held_digest SET sent_at = now(), reason = NULL WHERE id = :digest_id;

-- name: postpone!
-- Record why an attempt failed, and when the next one is. The reason is null as long as the digest may have been sent.
UPDATE held_digest SET reason = :reason, next_attempt_at = now() + make_interval(secs => :seconds::float8)
WHERE id = :digest_id AND sent_at IS NULL;
