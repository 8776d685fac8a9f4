-- name: lock_rows
-- Lock the deliveries of these leads. All processes lock in the same order, so none deadlocks. An alert is in a digest
-- until the digest is sent or has failed for good.
SELECT lead_id, kind, state, owner, settled_by,
       coalesce(extract(epoch FROM lease_until - clock_timestamp()), 0)::float8 AS lease_seconds,
       CASE WHEN kind = 'admin_alert'
            THEN EXISTS (SELECT FROM collected_alert WHERE collected_alert.lead_id = email_delivery.lead_id)
            ELSE false END AS in_digest
FROM email_delivery
WHERE lead_id = ANY(:lead_ids::uuid[])
ORDER BY lead_id, kind
FOR UPDATE;

-- name: statuses
-- Return the status of these leads in the inbox, which may not contain all of them yet.
SELECT id, status FROM lead_inbox WHERE id = ANY(:lead_ids::uuid[]);

-- name: lock_mailboxes
-- Lock these mailboxes, so that only one process at a time counts their welcomes. Sorted, so that none deadlocks.
SELECT pg_advisory_xact_lock(hashtextextended(mailbox, 0))
FROM unnest(:mailboxes::text[]) WITH ORDINALITY AS locked (mailbox, position) ORDER BY position;

-- name: recent_welcomes
-- Return the leads of the last 24 hours whose welcome was or will be sent to these mailboxes.
SELECT mailbox, lead_id FROM email_delivery
WHERE mailbox = ANY(:mailboxes::text[]) AND kind = 'welcome' AND state <> 'suppressed'
  AND created_at > now() - interval '24 hours';

-- name: welcomes_of_sites
-- Count the welcomes that were or will be sent to the leads that a site received within an hour.
SELECT limited.site, limited.hour, count(d.lead_id) AS welcomes
FROM unnest(:sites::text[], :hours::timestamptz[]) AS limited (site, hour)
LEFT JOIN email_delivery d ON d.site = limited.site AND d.kind = 'welcome' AND d.state <> 'suppressed'
    AND d.lead_received_at >= limited.hour AND d.lead_received_at < limited.hour + interval '1 hour'
GROUP BY limited.site, limited.hour;

-- name: recent_alerts
-- Count the alerts that were requested within this time, by site and recipients, up to a limit; and find when the next
-- digest of the site is due.
SELECT wanted.site, wanted.recipient,
       (SELECT count(*) FROM (
            SELECT FROM email_delivery d
            WHERE d.site = wanted.site AND hashtextextended(d.recipient, 0) = hashtextextended(wanted.recipient, 0)
              AND d.kind = 'admin_alert' AND d.requested_at > now() - make_interval(secs => :seconds::float8)
            LIMIT :limit::bigint) AS recent) AS alerts,
       (SELECT min(due_at) FROM collected_alert c WHERE c.site = wanted.site AND c.digest_id IS NULL) AS due_at
FROM unnest(:sites::text[], :recipients::text[]) AS wanted (site, recipient);
