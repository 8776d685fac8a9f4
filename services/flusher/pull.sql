-- name: keep_refused$
-- Keep a website's lead that the gateway refused. Null comes back where it is kept already.
INSERT INTO replay_queue (id, stage, kind, lead_id, state, reason, error, next_attempt_at, origin_topic,
                          origin_partition, origin_offset, origin_timestamp, origin_group, record_key, payload,
                          headers, made_by, first_failed_at, last_failed_at)
VALUES (:id, 'site', 'pull', :lead_id, 'waiting', :reason, :error, :now, :topic, -1, -1, :queued_at, 'site', :key,
        :payload, :headers, 'site_pull', :now, :now)
ON CONFLICT (stage, lead_id, kind) WHERE lead_id IS NOT NULL AND NOT by_origin DO NOTHING
RETURNING id;

-- name: revive_refused!
-- The visitor sent it again, and it was refused again: a row that had come to its end begins anew.
UPDATE replay_queue
SET state = 'waiting', final = false, attempts = 0, next_attempt_at = :now, reason = :reason, error = :error,
    payload = :payload, record_key = :key, headers = :headers, last_failed_at = :now, updated_at = now()
WHERE stage = 'site' AND lead_id = :lead_id AND kind = 'pull' AND state = 'resolved';
