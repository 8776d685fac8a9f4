-- name: insert_events
-- Insert events in the order of their numbers, and return the ids of those that are new. Events of erased leads are
-- left out. An event that was made from a record is left out too if its lead has become spam since. An event that was
-- made from the lead's row stays, even if the status has changed since the row was read: otherwise the change would
-- be sent without a `lead.received` before it. The event lead.alert_failed is about several leads, so it stays in any case.
INSERT INTO webhook_event (id, type, lead_id, site, occurred_at, body, delivery_count, traceparent)
SELECT e.id, e.type, e.lead_id, e.site, e.occurred_at, e.body, e.delivery_count, e.traceparent
FROM json_to_recordset(:events::json)
    AS e (number int, id uuid, type text, lead_id uuid, site text, occurred_at timestamptz, body text,
          delivery_count int, is_from_table boolean, traceparent text)
WHERE e.type = 'lead.alert_failed'
   OR NOT EXISTS (SELECT FROM lead_inbox l WHERE l.id = e.lead_id
                  AND (l.status = 'erased' OR NOT e.is_from_table AND l.status IN ('spam', 'held')))
ORDER BY e.number
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: insert_deliveries!
-- Insert a delivery of each event for each destination that wants it.
INSERT INTO webhook_delivery (event_id, destination, lead_id, position)
SELECT d.event_id, d.destination, e.lead_id, e.position
FROM unnest(:event_ids::uuid[], :destinations::text[]) AS d (event_id, destination)
JOIN webhook_event e ON e.id = d.event_id;

-- name: add_deliveries!
-- Insert the deliveries that known events do not have yet, and count them. Nothing of an erased event.
WITH known AS MATERIALIZED (
    SELECT id, lead_id, position FROM webhook_event WHERE id = ANY(:event_ids::uuid[]) AND body IS NOT NULL
    ORDER BY id FOR NO KEY UPDATE
), added AS (
    INSERT INTO webhook_delivery (event_id, destination, lead_id, position)
    SELECT known.id, d.destination, known.lead_id, known.position
    FROM unnest(:event_ids::uuid[], :destinations::text[]) AS d (event_id, destination)
    JOIN known ON known.id = d.event_id
    ON CONFLICT DO NOTHING
    RETURNING event_id
)
UPDATE webhook_event AS e SET delivery_count = e.delivery_count + n.deliveries
FROM (SELECT event_id, count(*) AS deliveries FROM added GROUP BY event_id) AS n WHERE e.id = n.event_id;
