-- name: lock_events
-- Whether the leads of these events were erased. Locks the events, as an erasure does, before their deliveries. Leaves out
-- the events that an erasure or add_deliveries (lead_events.sql) has locked: to wait for one of them while others are
-- locked could be a deadlock.
SELECT id, body IS NULL AS is_erased FROM webhook_event WHERE id = ANY(:ids::uuid[]) FOR SHARE SKIP LOCKED;

-- name: lock_event^
-- Whether the lead of an event was erased. Waits for an erasure, or for add_deliveries, if it has locked the event.
SELECT id, body IS NULL AS is_erased FROM webhook_event WHERE id = :event_id FOR SHARE;

-- name: record_outcomes
-- Write the outcomes of attempts at one destination. A delivery that another process has taken over does not change. The
-- event's type groups the failures.
UPDATE webhook_delivery d
SET state = o.state, type = o.type, owner = NULL, lease_until = NULL, status_code = o.status_code, reason = o.reason,
    response = o.response, duration_ms = o.duration_ms, retries = o.retries, next_attempt_at = now() + o.wait,
    updated_at = now(), delivered_at = CASE WHEN o.state = 'delivered' THEN now() END
FROM unnest(:event_ids::uuid[], :owners::uuid[], :states::text[], :types::text[], :status_codes::int[], :reasons::text[],
            :responses::text[], :durations_ms::int[], :retries::int[], :waits::interval[])
     AS o (event_id, owner, state, type, status_code, reason, response, duration_ms, retries, wait)
WHERE d.event_id = o.event_id AND d.destination = :destination AND d.state = 'sending' AND d.owner = o.owner
RETURNING d.event_id, o.owner;

-- name: release_probe!
-- A probe that sent nothing: the next one may begin. A pause that began after the claim stays.
UPDATE webhook_destination SET paused_until = now()
WHERE name = :name AND paused_until IS NOT NULL AND paused_since <= :claimed_at;

-- name: note_invalid!
-- Show that a delivery failed through no fault of its destination.
UPDATE webhook_destination SET last_failure_at = now(), last_reason = :reason, updated_at = now() WHERE name = :name;

-- name: note_success!
-- End a destination's pause, unless it began while the request ran: a 200 does not cancel another one's Retry-After.
-- Writes nothing if there is nothing to end and `last_success_at` is less than a second old: each write locks the row until
-- its commit, and the next claim would wait for that.
UPDATE webhook_destination
SET last_success_at = now(), updated_at = now(),
    failures = CASE WHEN paused_since > :claimed_at THEN failures ELSE 0 END,
    paused_until = CASE WHEN paused_since > :claimed_at THEN paused_until END,
    paused_since = CASE WHEN paused_since > :claimed_at THEN paused_since END
WHERE name = :name AND (failures > 0 OR paused_until IS NOT NULL OR last_success_at IS NULL
                        OR last_success_at < now() - interval '1 second');

-- name: note_failure^
-- Count a failure of a destination. Return the number of failures in a row, and whether the destination is paused. A
-- request that ran at the same time as the one that caused the pause is not counted. Otherwise eight concurrent
-- requests would make the first pause as long as the fourth.
UPDATE webhook_destination
SET failures = failures + CASE WHEN paused_since > :claimed_at THEN 0 ELSE 1 END, last_failure_at = now(),
    last_reason = :reason, updated_at = now()
WHERE name = :name
RETURNING failures, paused_until IS NOT NULL AS is_paused;

-- name: pause_destination!
-- Pause a destination from now on. Uses the time at which the row was locked, not the time of the transaction's
-- begin, so that every earlier claim has an earlier time. The pause after a probe replaces the previous pause.
-- Otherwise the longer pause counts.
UPDATE webhook_destination
SET paused_until = CASE WHEN paused_since > :claimed_at THEN greatest(paused_until, now() + :wait)
                        ELSE now() + :wait END,
    paused_since = coalesce(paused_since, clock_timestamp()),
    last_reason = :reason, updated_at = now()
WHERE name = :name;

-- name: disable_destination$
-- Disable a destination until an admin enables it. Returns null if it is disabled already.
UPDATE webhook_destination
SET disabled_at = now(), disabled_reason = :reason, updated_at = now()
WHERE name = :name AND disabled_at IS NULL
RETURNING name;
