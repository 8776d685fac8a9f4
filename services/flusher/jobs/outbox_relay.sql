-- The queries of outbox_relay.py.

-- name: claim_events
-- Lock the oldest events that no other relay has locked. An event is left out if an earlier event of its lead is not
-- locked here, because another relay may be publishing that one. The events of one lead are committed in the order of
-- their positions, because each change holds the lead's lock.
WITH claimed AS MATERIALIZED (
    SELECT position, event_id, type, lead_id, site, changed, from_status, to_status, lead_ids, reason, since, created_at
    FROM lead_event_outbox ORDER BY position LIMIT :limit FOR UPDATE SKIP LOCKED
)
SELECT position, event_id, type, lead_id, site, changed, from_status, to_status, lead_ids, reason, since, created_at
FROM claimed AS c
WHERE NOT EXISTS (SELECT FROM lead_event_outbox AS e WHERE e.lead_id = c.lead_id AND e.position < c.position
                  AND e.position NOT IN (SELECT position FROM claimed))
ORDER BY position;

-- name: delete_events!
-- Delete events that Kafka has acknowledged.
DELETE FROM lead_event_outbox WHERE position = ANY(:positions::bigint[]);
