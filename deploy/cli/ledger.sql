-- name: known_leads
-- Which of these leads are in the inbox.
SELECT id FROM lead_inbox WHERE id = ANY(:ids::uuid[]);

-- name: known_origins
-- Which of these records are in the replay queue instead: conflicts, and records that could not be decoded or stored.
SELECT origin_partition, origin_offset FROM replay_queue
WHERE origin_topic = :topic
  AND (origin_partition, origin_offset) IN (SELECT partition, "offset"
                                            FROM unnest(:partitions::int[], :offsets::bigint[]) AS candidates (partition, "offset"));

-- name: known_events
-- Which of these events are in the audit log, or were before they were archived. A log that is one table has an index of them.
SELECT event_id FROM audit_event_id WHERE event_id = ANY(:ids::uuid[])
UNION SELECT event_id FROM audit_log WHERE event_id = ANY(:ids::uuid[])
      AND NOT (SELECT relkind = 'p' FROM pg_class WHERE oid = 'public.audit_log'::regclass);

-- name: leads_without_mails
-- Leads without their two deliveries. A lead that was erased before it was stored may never get them.
SELECT id FROM lead_inbox l
WHERE l.stored AND (SELECT count(*) FROM email_delivery d WHERE d.lead_id = l.id) <> 2
ORDER BY created_at_utc LIMIT :limit;

-- name: events_without_deliveries
-- Events that have fewer or more deliveries than destinations that wanted them.
SELECT e.id, e.delivery_count, count(d.event_id) AS deliveries
FROM webhook_event e LEFT JOIN webhook_delivery d ON d.event_id = e.id
GROUP BY e.id HAVING count(d.event_id) <> e.delivery_count
ORDER BY e.position LIMIT :limit;

-- name: count_events$
-- How many events there are.
SELECT count(*) FROM webhook_event;
