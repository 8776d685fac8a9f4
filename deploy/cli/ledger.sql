-- name: known_leads
-- Which of these leads the inbox has.
SELECT id FROM lead_inbox WHERE id = ANY(:ids::uuid[]);

-- name: known_origins
-- Which of these records stand in the replay queue instead: conflicts, and what could not be decoded or stored.
SELECT origin_partition, origin_offset FROM replay_queue
WHERE origin_topic = :topic
  AND (origin_partition, origin_offset) IN (SELECT partition, "offset"
                                            FROM unnest(:partitions::int[], :offsets::bigint[]) AS asked (partition, "offset"));

-- name: known_events
-- Which of these events the audit log has.
SELECT event_id FROM audit_log WHERE event_id = ANY(:ids::uuid[]);

-- name: leads_without_mails
-- Leads whose two deliveries the notifier has not made; one erased before it was stored may never come.
SELECT id FROM lead_inbox l
WHERE l.stored AND (SELECT count(*) FROM email_delivery d WHERE d.lead_id = l.id) <> 2
ORDER BY created_at_utc LIMIT :limit;
