-- The query of spam_shares.py.

-- name: spam_by_site
-- The newest leads of the last 24 hours, and of the seven days before, by site. Bounded, because it runs every 15 seconds.
WITH recent AS MATERIALIZED (
    SELECT site, status, spam_reasons FROM lead_inbox
    WHERE created_at_utc >= now() - interval '1 day' ORDER BY created_at_utc DESC LIMIT :bound::bigint
), earlier AS MATERIALIZED (
    SELECT site, status FROM lead_inbox
    WHERE created_at_utc < now() - interval '1 day' AND created_at_utc >= now() - interval '8 days'
    ORDER BY created_at_utc DESC LIMIT :bound::bigint
), before AS (
    SELECT site, count(*) AS leads, count(*) FILTER (WHERE status = 'spam') AS spam FROM earlier GROUP BY site
)
SELECT recent.site, count(*) AS leads, count(*) FILTER (WHERE status = 'spam') AS spam,
       coalesce(max(before.leads), 0) AS leads_before, coalesce(max(before.spam), 0) AS spam_before,
       mode() WITHIN GROUP (ORDER BY spam_reasons[1]) FILTER (WHERE status = 'spam') AS reason
FROM recent LEFT JOIN before USING (site) GROUP BY recent.site ORDER BY recent.site;
