-- The queries of store/deliveries/failed_deliveries.py. They use the index webhook_delivery_failures.

-- name: list_groups
-- The groups of failed deliveries. The recursion jumps from group to group in the index, and the counts are bounded: for
-- each group, and in total by `budget`, which many groups share. So the time does not depend on the number of deliveries.
WITH RECURSIVE groups AS (
    (SELECT destination, type, reason, state FROM webhook_delivery
     WHERE state IN ('failed', 'dead') AND reason IS NOT NULL AND (:destination::text IS NULL OR destination = :destination)
     ORDER BY destination, type, reason, state LIMIT 1)
    UNION ALL
    SELECT next.destination, next.type, next.reason, next.state
    FROM groups CROSS JOIN LATERAL (
        SELECT d.destination, d.type, d.reason, d.state FROM webhook_delivery d
        WHERE d.state IN ('failed', 'dead') AND d.reason IS NOT NULL
          AND (d.destination, d.type, d.reason, d.state)
              > (groups.destination, groups.type, groups.reason, groups.state)
          AND (:destination::text IS NULL OR d.destination = :destination)
        ORDER BY d.destination, d.type, d.reason, d.state LIMIT 1) AS next
), first AS MATERIALIZED (
    SELECT destination, type, reason, state FROM groups WHERE state = ANY(:states::text[]) LIMIT :limit::bigint
), bound AS (
    SELECT least(:max_counted::bigint, :budget::bigint / greatest(count(*), 1)) AS rows FROM first
)
SELECT g.destination, g.type AS event, g.reason, g.state, least(counted.rows, bound.rows) AS deliveries,
       counted.rows > bound.rows AS has_more, oldest.at AS oldest_at, newest.at AS newest_at
FROM first AS g CROSS JOIN bound
CROSS JOIN LATERAL (
    SELECT count(*) AS rows FROM (
        SELECT FROM webhook_delivery d
        WHERE d.state IN ('failed', 'dead') AND d.reason IS NOT NULL
          AND (d.destination, d.type, d.reason, d.state) = (g.destination, g.type, g.reason, g.state)
        LIMIT (SELECT rows + 1 FROM bound)) AS bounded) AS counted
CROSS JOIN LATERAL (
    SELECT d.updated_at AS at FROM webhook_delivery d
    WHERE d.state IN ('failed', 'dead') AND d.reason IS NOT NULL
      AND (d.destination, d.type, d.reason, d.state) = (g.destination, g.type, g.reason, g.state)
    ORDER BY d.updated_at LIMIT 1) AS oldest
CROSS JOIN LATERAL (
    SELECT d.updated_at AS at FROM webhook_delivery d
    WHERE d.state IN ('failed', 'dead') AND d.reason IS NOT NULL
      AND (d.destination, d.type, d.reason, d.state) = (g.destination, g.type, g.reason, g.state)
    ORDER BY d.updated_at DESC LIMIT 1) AS newest
ORDER BY counted.rows DESC, g.destination, g.type, g.reason, g.state;

-- name: list_deliveries
-- A page of failed deliveries to one destination, the most recent failure first.
SELECT d.event_id, d.lead_id, (SELECT nullif(name, '') FROM lead_inbox WHERE lead_inbox.id = d.lead_id) AS lead_name,
       d.destination, d.type AS event, d.reason, d.state, d.status_code, d.attempts, d.updated_at AS failed_at,
       d.next_attempt_at
FROM webhook_delivery d
WHERE d.destination = :destination AND d.state IN ('failed', 'dead') AND d.reason IS NOT NULL
  AND (:state::text IS NULL OR d.state = :state)
  AND (:event::text IS NULL OR d.type = :event)
  AND (:reason::text IS NULL OR d.reason = :reason)
  AND (:since::timestamptz IS NULL OR d.updated_at >= :since)
  AND (:until::timestamptz IS NULL OR d.updated_at < :until)
  AND (:after_at::timestamptz IS NULL OR (d.updated_at, d.event_id) < (:after_at, :after_id::uuid))
ORDER BY d.updated_at DESC, d.event_id DESC
LIMIT :limit::bigint;
