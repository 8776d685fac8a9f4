-- name: wait_for_changes!
-- Before events of records are stored: wait for a batch with changes, and hold up the next one until this transaction ends.
SELECT pg_advisory_xact_lock_shared(hashtextextended('fastcore.webhooks.changes', 0));

-- name: wait_for_records!
-- Before changes are planned, wait for all batches that are being stored. Otherwise a change to spam could be planned
-- while the lead's record is being stored. The change would be sent to nobody, because no destination has the lead
-- yet, and then the lead would be sent.
SELECT pg_advisory_xact_lock(hashtextextended('fastcore.webhooks.changes', 0));

-- name: read_leads
-- Leads as they are now, with the destinations that have a delivery of each. Erased leads are left out.
SELECT l.id, l.site, l.status, l.assignee, l.created_at_utc, l.name, l.email, l.phone, l.company, l.service, l.message,
       l.consent, l.consent_text, l.consent_version, l.locale, l.source, l.extra,
       ARRAY(SELECT DISTINCT d.destination FROM webhook_delivery d WHERE d.lead_id = l.id) AS destinations
FROM lead_inbox l WHERE l.id = ANY(:ids::uuid[]) AND l.status <> 'erased';

-- name: add_destinations!
-- Insert the state of destinations that are new in the sites file.
INSERT INTO webhook_destination (name) SELECT unnest(:names::text[]) ON CONFLICT DO NOTHING;

-- name: end_pauses!
-- End the pauses of these destinations.
UPDATE webhook_destination SET failures = 0, paused_until = NULL, paused_since = NULL, updated_at = now()
WHERE name = ANY(:names::text[]) AND paused_until IS NOT NULL;

-- name: list_due_destinations$
-- The names of the destinations for which something may be sent now. Queried every second.
SELECT ARRAY(SELECT w.name
FROM webhook_destination w
WHERE w.name = ANY(:names::text[]) AND w.disabled_at IS NULL AND w.next_send_at <= now()
  AND (w.paused_until IS NULL OR w.paused_until <= now())
  AND ((SELECT d.next_attempt_at FROM webhook_delivery d
        WHERE d.destination = w.name AND d.state IN ('pending', 'failed')
        ORDER BY d.next_attempt_at LIMIT 1) <= now()
       OR (SELECT d.lease_until FROM webhook_delivery d
           WHERE d.destination = w.name AND d.state = 'sending'
           ORDER BY d.lease_until LIMIT 1) <= now()));

-- name: lock_destination^
-- A destination's state, locked: one process at a time claims deliveries for it.
SELECT w.disabled_at, w.next_send_at <= now() AS may_send,
       w.paused_until IS NOT NULL AS is_probe,
       w.paused_until IS NULL OR w.paused_until <= now() AS may_attempt
FROM webhook_destination w
WHERE w.name = :name
FOR UPDATE OF w;

-- name: count_sending$
-- How many deliveries of a destination are being sent. A statement of its own: its snapshot is taken under the lock.
SELECT count(*) FROM webhook_delivery WHERE destination = :name AND state = 'sending' AND lease_until > now();

-- name: claim_deliveries
-- Claim due deliveries of a destination. A delivery waits for the earlier deliveries of its lead to the same
-- destination, so that an erasure never overtakes its lead. One that is dead holds up nothing.
UPDATE webhook_delivery d
SET state = 'sending', owner = :owner, lease_until = now() + :lease, attempts = d.attempts + 1, updated_at = now(),
    -- An attempt without an outcome uses up a retry: else a delivery that kills its process would do so forever.
    retries = d.retries + due.is_interrupted::int
FROM (
    SELECT expired.event_id, expired.destination, true AS is_interrupted FROM (
        SELECT c.event_id, c.destination FROM webhook_delivery c
        WHERE c.destination = :name AND c.state = 'sending' AND c.lease_until <= now()
          AND {first_of_its_lead}
        ORDER BY c.lease_until
        LIMIT :limit
        FOR UPDATE SKIP LOCKED) AS expired
    UNION ALL
    SELECT waiting.event_id, waiting.destination, false FROM (
        SELECT c.event_id, c.destination FROM webhook_delivery c
        WHERE c.destination = :name AND c.state IN ('pending', 'failed') AND c.next_attempt_at <= now()
          AND {first_of_its_lead}
        ORDER BY c.next_attempt_at
        LIMIT :limit
        FOR UPDATE SKIP LOCKED) AS waiting
    LIMIT :limit
) AS due
JOIN webhook_event e ON e.id = due.event_id
WHERE (d.event_id, d.destination) = (due.event_id, due.destination)
RETURNING d.event_id, d.lead_id, d.retries, e.type, e.body, e.traceparent, due.is_interrupted,
          now() AS claimed_at;

-- name: pace_destination!
-- After a claim: the time of the next one, and the pause during a probe, so that no other process sends a second one.
UPDATE webhook_destination
SET next_send_at = now() + :gap,
    paused_until = CASE WHEN paused_until IS NULL THEN NULL ELSE now() + :lease END,
    updated_at = now()
WHERE name = :name;
