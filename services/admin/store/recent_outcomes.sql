-- What became of the last hour's emails and deliveries, for the overview's headline. Bounded: each branch reads an index.

-- name: recent_mails
-- The last outcome of each email among the latest 500 outcomes of the last hour, counted by kind: an email that was
-- deferred and sent later counts as sent.
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
-- Deliveries that failed for good in the last hour, but for confirmations, whose recipients may not exist, and duplicates of
-- an idempotency key: up to 1,000 of them.
SELECT stage, count(*) AS rows FROM (
    SELECT stage FROM replay_queue
    WHERE state = 'dead' AND last_failed_at > now() - interval '1 hour' AND kind <> 'welcome' AND reason <> 'conflict'
    ORDER BY last_failed_at DESC LIMIT 1000
) AS dead GROUP BY stage;
