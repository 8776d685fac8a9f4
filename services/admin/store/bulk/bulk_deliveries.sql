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

-- name: count_to_retry
-- How many leads have such a failed delivery, by the status that lets them not be sent, if they have one.
SELECT l.status, count(*) AS leads FROM (SELECT DISTINCT lead_id FROM ({failed}) AS failed) AS chosen
LEFT JOIN lead_inbox l ON l.id = chosen.lead_id AND l.status IN ('spam', 'held') AND EXISTS (
    SELECT FROM webhook_delivery d WHERE d.lead_id = l.id AND d.destination = :destination
    AND d.type = 'lead.received' AND d.state = 'dead')
GROUP BY l.status;

-- name: choose_to_retry!
-- Store the leads that have such a failed delivery as the items of an action, in the order of their events.
INSERT INTO bulk_change_item (bulk_id, position, lead_id)
SELECT :bulk_id, row_number() OVER (ORDER BY min(position), lead_id), lead_id FROM ({failed}) AS failed GROUP BY lead_id;

-- name: list_sent
-- Those of these events that the destination has, or that are being sent to it.
SELECT event_id FROM webhook_delivery
WHERE event_id = ANY(:event_ids::uuid[]) AND destination = :destination AND state NOT IN ('failed', 'dead');

-- name: list_later_events
-- The changes of these leads after their `lead.received`, of the types that the destination lists. Earlier changes
-- are left out, because `lead.received` contains their result.
SELECT later.id FROM webhook_event AS received
JOIN webhook_event AS later ON later.lead_id = received.lead_id AND later.position > received.position
WHERE received.id = ANY(:event_ids::uuid[]) AND later.type = ANY(:types::text[]) AND later.type <> 'lead.erased';
