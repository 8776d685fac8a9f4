-- The queries of incidents.py.

-- name: record_sightings!
-- Open an incident for each failure, or update the open one. Ordered, so that two processes lock rows in the same order.
INSERT INTO incident (key, component, reason, severity, url, affected_leads)
SELECT key, component, reason, severity, url, affected_leads
FROM jsonb_to_recordset(:sightings::jsonb)
    AS seen (key text, component text, reason text, severity text, url text, affected_leads bigint)
ORDER BY key
ON CONFLICT (key) WHERE resolved_at IS NULL DO UPDATE
SET component = excluded.component, reason = excluded.reason, severity = excluded.severity, url = excluded.url,
    affected_leads = greatest(incident.affected_leads, excluded.affected_leads), last_seen_at = now();

-- name: resolve_gone!
-- Resolve what was not seen for a while. Its end is when it was last seen. Ordered, as in record_sightings.
UPDATE incident SET resolved_at = last_seen_at, resolved_by = :actor
WHERE id IN (SELECT id FROM incident WHERE resolved_at IS NULL AND last_seen_at < now() - :gone_after::interval
             ORDER BY key FOR UPDATE);

-- name: forget!
-- Remove what did not last, and what was resolved long ago.
DELETE FROM incident
WHERE resolved_at < now() - :kept::interval
   OR resolved_by = :actor AND owner IS NULL AND last_seen_at - first_seen_at < :lasts_after::interval;

-- name: list_incidents
-- The failures that lasted, the open ones first, then the newest.
SELECT id, component, reason, severity, url, affected_leads, first_seen_at, last_seen_at, owner, acknowledged_at,
       resolved_at, resolved_by
FROM incident
WHERE last_seen_at - first_seen_at >= :lasts_after::interval
  AND (:open::boolean IS NULL OR (resolved_at IS NULL) = :open)
ORDER BY resolved_at IS NOT NULL, first_seen_at DESC, id DESC LIMIT :limit::bigint;

-- name: lock_incident^
-- One incident, locked until this transaction ends.
SELECT resolved_at FROM incident WHERE id = :id FOR UPDATE;

-- name: acknowledge^
-- Give an incident an owner. The time of the first acknowledgement stays.
UPDATE incident SET owner = :owner, acknowledged_at = coalesce(acknowledged_at, now()) WHERE id = :id
RETURNING id, component, reason, severity, url, affected_leads, first_seen_at, last_seen_at, owner, acknowledged_at,
          resolved_at, resolved_by;

-- name: resolve^
-- Resolve an incident.
UPDATE incident SET resolved_at = now(), resolved_by = :actor WHERE id = :id
RETURNING id, component, reason, severity, url, affected_leads, first_seen_at, last_seen_at, owner, acknowledged_at,
          resolved_at, resolved_by;
