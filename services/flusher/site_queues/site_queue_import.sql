-- name: keep_refused!
-- Store a website's lead that the gateway refused. An existing row stays as it is, but a resolved row waits again:
-- the visitor sent the same again, and the gateway refused it again.
INSERT INTO replay_queue AS row (id, stage, kind, lead_id, state, by_origin, reason, error, next_attempt_at,
                                 origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group,
                                 record_key, payload, headers, made_by, first_failed_at, last_failed_at)
VALUES (:id, 'site', 'pull', :lead_id, 'waiting', true, :reason, :error, :now, :topic, -1, :digest, :queued_at, 'site',
        :key, :payload, :headers, 'site_pull', :now, :now)
ON CONFLICT (stage, origin_topic, origin_partition, origin_offset, kind) WHERE lead_id IS NULL OR by_origin
DO UPDATE SET state = 'waiting', final = false, attempts = 0, next_attempt_at = excluded.next_attempt_at,
              reason = excluded.reason, error = excluded.error, payload = excluded.payload,
              record_key = excluded.record_key, headers = excluded.headers,
              last_failed_at = excluded.last_failed_at, updated_at = now()
WHERE row.state = 'resolved';
