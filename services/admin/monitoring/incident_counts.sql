-- The query of incident_counts.py.

-- name: count_open_incidents
-- The open failures that lasted, by severity and by whether somebody takes care of them.
SELECT severity, acknowledged_at IS NOT NULL AS acknowledged, count(*) AS incidents FROM incident
WHERE resolved_at IS NULL AND last_seen_at - first_seen_at >= :lasts_after::interval GROUP BY 1, 2;
