-- The queries of store/deliveries/destinations.py. `{is_unsent}` is true if the lead of a delivery `d` is spam or held, and its
-- `lead.received` is dead.

-- name: list_destinations
-- The destinations of the sites file, and all others that have a state. Every count is bounded.
SELECT n.name, w.paused_until, w.paused_since, w.disabled_at, w.disabled_reason, w.last_reason,
       w.last_success_at, w.last_failure_at, latency.percentiles[1] AS duration_p50_ms,
       latency.percentiles[2] AS duration_p95_ms,
       t.event_id, t.state, t.attempts, t.status_code, t.reason, t.response, t.duration_ms, t.next_attempt_at,
       t.created_at, t.updated_at,
       (SELECT count(*) FROM (SELECT FROM webhook_delivery d WHERE d.destination = n.name
                              AND d.state IN ('pending', 'failed') LIMIT 10000) AS bounded) AS waiting,
       (SELECT count(*) FROM (SELECT FROM webhook_delivery d WHERE d.destination = n.name AND d.state = 'dead'
                              LIMIT 10000) AS bounded) AS dead,
       (SELECT count(*) FROM (SELECT FROM webhook_delivery d WHERE d.destination = n.name AND d.state = 'delivered'
                              AND d.delivered_at > now() - interval '24 hours' LIMIT 10000) AS bounded)
           AS delivered_last_day,
       (SELECT min(d.created_at) FROM webhook_delivery d WHERE d.destination = n.name
                              AND d.state IN ('pending', 'failed')) AS oldest_waiting_at,
       (SELECT count(*) FROM (SELECT FROM webhook_delivery d WHERE d.destination = n.name AND d.state = 'failed'
                              LIMIT 10000) AS bounded) AS retrying
FROM (SELECT name FROM webhook_destination UNION SELECT unnest(:names::text[])) AS n (name)
LEFT JOIN webhook_destination w ON w.name = n.name
LEFT JOIN webhook_delivery t ON t.event_id = w.last_test_id AND t.destination = w.name
CROSS JOIN LATERAL (
    SELECT percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY duration_ms) AS percentiles
    FROM (SELECT d.duration_ms FROM webhook_delivery d
          WHERE d.destination = n.name AND d.state = 'delivered' AND d.delivered_at > now() - interval '24 hours'
          ORDER BY d.delivered_at DESC LIMIT 1000) AS newest) AS latency
ORDER BY n.name;

-- name: lock_destination^
-- A destination's state, locked. It is inserted first if it has none.
INSERT INTO webhook_destination (name) VALUES (:name)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING disabled_at;

-- name: enable_destination!
-- Send to a destination again, at once.
UPDATE webhook_destination
SET disabled_at = NULL, disabled_reason = NULL, failures = 0, paused_until = NULL, paused_since = NULL,
    next_send_at = now(), updated_at = now()
WHERE name = :name;

-- name: disable_destination!
-- Let a destination's deliveries wait.
UPDATE webhook_destination SET disabled_at = now(), disabled_reason = :reason, updated_at = now() WHERE name = :name;

-- name: insert_test_event!
-- An event for one destination. Its lead does not exist.
WITH event AS (
    INSERT INTO webhook_event (id, type, lead_id, site, occurred_at, body, delivery_count)
    VALUES (:id, 'lead.test', :lead_id, 'test', now(), :body, 1)
    RETURNING id, lead_id, position
)
INSERT INTO webhook_delivery (event_id, destination, lead_id, position)
SELECT id, :name, lead_id, position FROM event;

-- name: set_last_test!
-- The event of the last test of a destination.
UPDATE webhook_destination SET last_test_id = :event_id WHERE name = :name;

-- name: lock_failed
-- The oldest failed and dead deliveries of a destination, locked, except those of leads that are not sent any more.
SELECT d.event_id FROM webhook_delivery d
WHERE d.destination = :name AND d.state IN ('failed', 'dead') AND NOT {is_unsent}
ORDER BY d.position LIMIT :limit FOR UPDATE OF d SKIP LOCKED;

-- name: lock_failed_of_leads
-- The failed and dead deliveries of these leads to a destination, and whether the lead is not sent any more. Locked in one
-- order, so that two actions on the same leads do not wait for each other.
SELECT d.event_id, d.lead_id, {is_unsent} AS is_unsent FROM webhook_delivery d
WHERE d.lead_id = ANY(:lead_ids::uuid[]) AND d.destination = :name AND d.state IN ('failed', 'dead')
ORDER BY d.event_id FOR UPDATE OF d;

-- name: restart_deliveries!
-- Let locked deliveries be sent now, with all their retries.
UPDATE webhook_delivery SET state = 'pending', retries = 0, next_attempt_at = now(), updated_at = now()
WHERE event_id = ANY(:event_ids::uuid[]) AND destination = :name;

-- name: count_failed$
-- How many failed and dead deliveries of a destination lock_failed would find, at most 10,000.
SELECT count(*) FROM (SELECT FROM webhook_delivery d
                      WHERE d.destination = :name AND d.state IN ('failed', 'dead') AND NOT {is_unsent}
                      LIMIT 10000) AS bounded;

-- name: list_lead_deliveries
-- The deliveries of a lead's events. The state of a destination holds up those that are due before it changes.
SELECT d.event_id, e.type AS event, d.destination, d.state, d.attempts, d.status_code, d.reason, d.response,
       d.duration_ms, d.next_attempt_at, d.created_at, d.updated_at, d.delivered_at,
       CASE WHEN d.state NOT IN ('pending', 'failed') THEN NULL
            WHEN w.disabled_at IS NOT NULL THEN 'disabled'
            WHEN d.state = 'pending' AND w.paused_until IS NOT NULL OR d.next_attempt_at <= w.paused_until THEN 'paused'
       END AS held_up_by
FROM webhook_delivery d
JOIN webhook_event e ON e.id = d.event_id
LEFT JOIN webhook_destination w ON w.name = d.destination
WHERE d.lead_id = :lead_id
ORDER BY d.position, d.destination
LIMIT 1000;

-- name: lock_event^
-- An event of a lead, and whether the lead was erased. Locked, as erasures do, before its delivery.
SELECT type, body IS NULL AS is_erased FROM webhook_event WHERE id = :event_id AND lead_id = :lead_id FOR SHARE;

-- name: lock_delivery^
-- A delivery, locked until this transaction ends, whether its destination is disabled, and whether its lead is not sent any more.
SELECT d.state, {is_unsent} AS is_unsent, EXISTS (SELECT FROM webhook_destination w WHERE w.name = d.destination AND w.disabled_at IS NOT NULL)
           AS is_disabled
FROM webhook_delivery d WHERE d.event_id = :event_id AND d.destination = :name FOR UPDATE OF d;
