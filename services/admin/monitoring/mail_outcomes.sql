-- The queries of monitoring/mail_outcomes.py.

-- name: count_outcomes
-- The newest emails with an outcome of the last seconds, by site, kind, state and why they failed. Each email counts once,
-- with its last outcome. `places` are the places among the newest emails of the site and kind, from 1 for the newest.
WITH newest AS MATERIALIZED (
    SELECT coalesce(site, '') AS site, kind, state, outcome_at,
           CASE WHEN state NOT IN ('sent', 'complained') THEN coalesce(failure_group, reason) END AS failure
    FROM email_delivery
    WHERE outcome_at > now() - make_interval(secs => :seconds::float8)
      AND state NOT IN ('reserved', 'collected', 'sending', 'suppressed')
    ORDER BY outcome_at DESC LIMIT :bound::bigint
), numbered AS (
    SELECT site, kind, state, failure, row_number() OVER (PARTITION BY site, kind ORDER BY outcome_at DESC) AS place
    FROM newest
)
SELECT site, kind, state, failure, count(*) AS emails,
       coalesce(array_agg(place) FILTER (WHERE place <= :newest::bigint), '{}') AS places
FROM numbered GROUP BY site, kind, state, failure ORDER BY emails DESC, failure;
