-- The queries of store/recent_outcomes.py, for the overview. Each branch reads a bounded range of an index.

-- name: recent_mails
-- Emails by kind and last outcome, from the latest 500 outcomes of the last hour. An email that was deferred and sent later
-- counts as sent.
WITH recent AS (
    SELECT lead_id, details_json ->> 'kind' AS kind, event, created_at_utc, id FROM (
        (SELECT lead_id, details_json, event, created_at_utc, id FROM audit_log
         WHERE event = 'email.sent' AND created_at_utc > now() - interval '1 hour'
         ORDER BY created_at_utc DESC LIMIT 500)
        UNION ALL
        (SELECT lead_id, details_json, event, created_at_utc, id FROM audit_log
         WHERE event = 'email.failed' AND created_at_utc > now() - interval '1 hour'
         ORDER BY created_at_utc DESC LIMIT 500)
        UNION ALL
        (SELECT lead_id, details_json, event, created_at_utc, id FROM audit_log
         WHERE event = 'email.unknown' AND created_at_utc > now() - interval '1 hour'
         ORDER BY created_at_utc DESC LIMIT 500)
    ) AS entries ORDER BY created_at_utc DESC LIMIT 500
), latest AS (
    SELECT DISTINCT ON (lead_id, kind) kind, event FROM recent ORDER BY lead_id, kind, created_at_utc DESC, id DESC
)
SELECT kind, count(*) FILTER (WHERE event = 'email.sent') AS sent,
       count(*) FILTER (WHERE event <> 'email.sent') AS failed
FROM latest WHERE kind IS NOT NULL GROUP BY kind;

-- name: recent_dead
-- Up to 1,000 deliveries that failed permanently in the last hour. Excludes confirmations, whose recipients may not exist,
-- and duplicates of an idempotency key.
SELECT stage, count(*) AS rows FROM (
    SELECT stage FROM replay_queue
    WHERE state = 'dead' AND last_failed_at > now() - interval '1 hour' AND kind <> 'welcome' AND reason <> 'conflict'
    ORDER BY last_failed_at DESC LIMIT 1000
) AS dead GROUP BY stage;
