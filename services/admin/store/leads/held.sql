-- The queries of held.py. The index lead_inbox_status finds held leads.

-- name: held_by_site
-- The sites with held leads, of the newest of these: how many, since when, and the most frequent reason.
SELECT site, count(*) AS leads, min(created_at_utc) AS oldest_at, max(created_at_utc) AS newest_at,
       mode() WITHIN GROUP (ORDER BY spam_reasons[1]) AS reason
FROM (SELECT site, created_at_utc, spam_reasons FROM lead_inbox WHERE status = 'held'
      ORDER BY created_at_utc DESC LIMIT :bound::bigint) AS newest
GROUP BY site ORDER BY site;

-- name: lock_held
-- The oldest held leads of a site that were received until a time, locked. Leads that somebody changes now are left out.
SELECT id, request_id, site, email, service, status, name, phone, company, message, consent, consent_text,
       consent_version, locale, submitted_at, source, extra, spam_reasons, body_sha256, created_at_utc
FROM lead_inbox WHERE status = 'held' AND site = :site AND created_at_utc <= :until::timestamptz
ORDER BY created_at_utc, id LIMIT :bound::bigint FOR UPDATE SKIP LOCKED;

-- name: count_held$
-- How many of the site's leads are still held, up to a bound.
SELECT count(*) FROM (SELECT FROM lead_inbox WHERE status = 'held' AND site = :site
                      AND created_at_utc <= :until::timestamptz LIMIT :bound::bigint) AS bounded;
