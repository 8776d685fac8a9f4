-- The queries of held.py. The index lead_inbox_held finds held leads.

-- name: held_by_site
-- The sites with held leads: how many, since when, and the most frequent reason, of the newest leads of each site. Reads
-- one entry of the index for each site, then its leads, so that a flood at one site hides no other.
WITH RECURSIVE sites AS (
    (SELECT site FROM lead_inbox WHERE status = 'held' ORDER BY site LIMIT 1)
    UNION ALL
    SELECT (SELECT lead.site FROM lead_inbox AS lead WHERE lead.status = 'held' AND lead.site > sites.site
            ORDER BY lead.site LIMIT 1)
    FROM sites WHERE sites.site IS NOT NULL
)
SELECT sites.site, leads, oldest_at, newest_at, reason FROM sites CROSS JOIN LATERAL (
    SELECT count(*) AS leads, min(created_at_utc) AS oldest_at, max(created_at_utc) AS newest_at,
           mode() WITHIN GROUP (ORDER BY spam_reasons[1]) AS reason
    FROM (SELECT created_at_utc, spam_reasons FROM lead_inbox WHERE status = 'held' AND site = sites.site
          ORDER BY created_at_utc DESC LIMIT :bound::bigint) AS newest
) AS counted
WHERE sites.site IS NOT NULL AND counted.leads > 0 ORDER BY sites.site;

-- name: lock_held
-- The oldest held leads of a site that were received until a time, locked. Leads that somebody changes now are left out.
SELECT id, request_id, site, email, service, status, name, phone, company, message, consent, consent_text,
       consent_version, locale, submitted_at, source, extra, spam_reasons, body_sha256, created_at_utc
FROM lead_inbox WHERE status = 'held' AND site = :site AND created_at_utc <= :until::timestamptz
ORDER BY created_at_utc, id LIMIT :bound::bigint FOR UPDATE SKIP LOCKED;

-- name: count_held$
-- How many of the site's leads are held, up to a bound.
SELECT count(*) FROM (SELECT FROM lead_inbox WHERE status = 'held' AND site = :site
                      AND created_at_utc <= :until::timestamptz LIMIT :bound::bigint) AS bounded;
