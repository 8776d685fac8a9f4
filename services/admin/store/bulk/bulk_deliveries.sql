-- The queries of bulk_deliveries.py. `{lead_filter}` is lead_filter.sql, `{failed}` selects failed deliveries.

-- name: count_to_send
-- How many leads are chosen, up to a bound, by what decides whether they are sent.
SELECT status, site, is_sent, count(*) AS leads FROM (
    SELECT status, site, EXISTS (
        SELECT FROM webhook_delivery d JOIN webhook_event e ON e.id = d.event_id
        WHERE d.lead_id = lead_inbox.id AND d.destination = :destination AND d.state NOT IN ('failed', 'dead')
          AND e.type = 'lead.received') AS is_sent
    FROM lead_inbox
    WHERE (:ids::uuid[] IS NULL OR id = ANY(:ids)) AND {lead_filter}
    LIMIT :bound::bigint
) AS chosen GROUP BY status, site, is_sent ORDER BY status, site;

-- name: count_to_retry$
-- How many leads have such a failed delivery.
SELECT count(DISTINCT lead_id) FROM ({failed}) AS failed;

-- name: choose_to_retry!
-- Store the leads that have such a failed delivery as the items of an action, in the order of their events.
INSERT INTO bulk_change_item (bulk_id, position, lead_id)
SELECT :bulk_id, row_number() OVER (ORDER BY min(position), lead_id), lead_id FROM ({failed}) AS failed GROUP BY lead_id;

-- name: list_sent
-- Those of these events that the destination has, or that are being sent to it.
SELECT event_id FROM webhook_delivery
WHERE event_id = ANY(:event_ids::uuid[]) AND destination = :destination AND state NOT IN ('failed', 'dead');

-- name: list_later_events
-- The changes of these leads after their `lead.received`, of the types that the destination lists. Earlier changes are
-- part of it.
SELECT later.id FROM webhook_event AS received
JOIN webhook_event AS later ON later.lead_id = received.lead_id AND later.position > received.position
WHERE received.id = ANY(:event_ids::uuid[]) AND later.type = ANY(:types::text[]) AND later.type <> 'lead.erased';

-- name: restart
-- Let the failed deliveries of these leads be sent now, with all their retries, and return their leads. They are locked in
-- one order, so that two actions on the same leads do not wait for each other.
UPDATE webhook_delivery SET state = 'pending', retries = 0, next_attempt_at = now(), updated_at = now()
WHERE (event_id, destination) IN (
    SELECT event_id, destination FROM webhook_delivery
    WHERE lead_id = ANY(:lead_ids::uuid[]) AND destination = :destination AND state IN ('failed', 'dead')
    ORDER BY event_id FOR UPDATE)
RETURNING lead_id;
