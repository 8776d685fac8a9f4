-- The query of mail_requests.py.

-- name: request_mails
-- Have the notifier send these emails again, now. An existing row becomes waiting again, with three new retries. Its
-- `made_by` stays, because the ledger counts rows by it. An email that was sent, or reported as spam, is not
-- requested.
INSERT INTO replay_queue (id, stage, kind, lead_id, state, reason, error, attempts, next_attempt_at,
                          requested_at, requested_by, origin_topic, origin_partition, origin_offset,
                          origin_timestamp, origin_group, record_key, payload, headers, made_by,
                          first_failed_at, last_failed_at)
SELECT gen_random_uuid(), 'notifier', kind, lead_id, 'waiting', :reason, 'AdminRequest', 0, now(),
       now(), :actor, 'admin', -1, -1,
       now(), 'admin', convert_to(lead_id::text, 'UTF8'), payload, :headers::jsonb, 'admin',
       now(), now()
FROM unnest(:lead_ids::uuid[], :payloads::bytea[]) AS lead (lead_id, payload), unnest(:kinds::text[]) AS requested (kind)
WHERE NOT EXISTS (SELECT 1 FROM email_delivery AS mail
                  WHERE mail.lead_id = lead.lead_id AND mail.kind = requested.kind
                    AND mail.state IN ('sent', 'complained'))
ORDER BY lead_id, kind
ON CONFLICT (stage, lead_id, kind) WHERE lead_id IS NOT NULL AND NOT by_origin DO UPDATE
SET state = 'waiting', final = false, attempts = 0, next_attempt_at = now(), requested_at = now(),
    requested_by = excluded.requested_by, requested_comment = NULL, record_key = excluded.record_key, payload = excluded.payload,
    headers = excluded.headers, updated_at = now()
RETURNING id, kind, lead_id;
