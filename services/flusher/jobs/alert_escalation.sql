-- The queries of alert_escalation.py.

-- name: list_failed_alerts
-- The team notifications of the last day that nobody received and no event has reported, the oldest failure first, of sites
-- whose last event is old enough. A notification failed if it is dead, or if each of its recipients bounced, or if it is
-- late: it was not sent for a while after its time, which a digest sets, and neither was any other notification of its
-- site.
WITH late_sites AS MATERIALIZED (
    SELECT site FROM (SELECT DISTINCT site FROM lead_inbox
                      WHERE created_at_utc BETWEEN now() - interval '2 hours' AND now() - :late::interval) AS recent
    WHERE NOT EXISTS (SELECT FROM email_delivery AS d
                      WHERE d.outcome_at > now() - :late::interval AND d.kind = 'admin_alert'
                        AND d.state = 'sent' AND d.site = recent.site)
), failed AS (
    SELECT d.lead_id, coalesce(d.site, '') AS site, d.outcome_at AS failed_at, coalesce(d.failure_group, d.reason) AS reason
    FROM email_delivery AS d
    WHERE d.outcome_at > now() - interval '1 day' AND d.kind = 'admin_alert' AND d.state IN ('dead', 'bounced')
      AND (d.state = 'dead' OR cardinality(string_to_array(d.recipient, ',')) <=
           (SELECT count(*) FROM audit_log AS a
            WHERE a.lead_id = d.lead_id AND a.event = 'email.bounced' AND a.details_json ->> 'kind' = 'admin_alert'))
    UNION ALL
    SELECT l.id, l.site, l.created_at_utc, coalesce(d.failure_group, d.reason)
    FROM late_sites
    JOIN lead_inbox AS l ON l.site = late_sites.site
                        AND l.created_at_utc BETWEEN now() - interval '2 hours' AND now() - :late::interval
    LEFT JOIN email_delivery AS d ON d.lead_id = l.id AND d.kind = 'admin_alert'
    WHERE l.status NOT IN ('spam', 'held', 'erased')
      AND (d.state IS NULL OR d.state IN ('reserved', 'sending', 'waiting', 'unknown'))
      AND NOT EXISTS (SELECT FROM collected_alert AS c WHERE c.lead_id = l.id)
    UNION ALL
    SELECT c.lead_id, c.site, c.due_at, coalesce(d.failure_group, d.reason)
    FROM collected_alert AS c
    JOIN email_delivery AS d ON d.lead_id = c.lead_id AND d.kind = 'admin_alert'
    WHERE c.due_at < now() - :late::interval AND d.state IN ('collected', 'sending', 'waiting', 'unknown')
      AND NOT EXISTS (SELECT FROM email_delivery AS s
                      WHERE s.outcome_at > now() - :late::interval AND s.kind = 'admin_alert'
                        AND s.state = 'sent' AND s.site = c.site)
)
SELECT lead_id, site, failed_at, reason FROM failed
WHERE NOT EXISTS (SELECT FROM escalated_alert AS e WHERE e.lead_id = failed.lead_id)
  AND NOT EXISTS (SELECT FROM alert_escalation AS a
                  WHERE a.site = failed.site AND a.created_at > now() - :pause::interval)
ORDER BY failed_at, lead_id LIMIT :limit;

-- name: insert_escalation!
-- Report these leads in one event. A trigger writes the event to the outbox.
WITH escalation AS (
    INSERT INTO alert_escalation (id, site, lead_ids, reason, since)
    VALUES (:id, :site, :lead_ids::uuid[], :reason, :since) RETURNING id
)
INSERT INTO escalated_alert (lead_id, escalation_id)
SELECT lead_id, escalation.id FROM escalation, unnest(:lead_ids::uuid[]) AS lead_id;
