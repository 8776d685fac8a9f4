-- The queries of digest_events.py.

-- name: listed_alerts
-- The alerts whose last email was this digest. The conditions are those of the index email_delivery_digest.
SELECT lead_id FROM email_delivery
WHERE kind = 'admin_alert' AND message_id LIKE '<%.alert_digest@%' AND substr(message_id, 2, 36) = :digest_id
ORDER BY lead_id;
