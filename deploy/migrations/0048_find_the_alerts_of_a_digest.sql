-- When a digest of new leads comes back, the alerts that it listed are found by its Message-ID: <digest id.alert_digest@domain>.
CREATE INDEX email_delivery_digest ON email_delivery (substr(message_id, 2, 36))
    WHERE kind = 'admin_alert' AND message_id LIKE '<%.alert_digest@%';
