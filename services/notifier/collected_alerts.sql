-- name: add_alerts!
-- Store alerts until the digest that lists them is sent.
INSERT INTO collected_alert (lead_id, site, service, locale, due_at, record_id, record_topic, record_partition, record_offset,
                             record_timestamp, record_key, payload, headers)
SELECT lead_id, site, service, locale, due_at, record_id, topic, partition, "offset", timestamp, key, payload, headers::jsonb
FROM unnest(:lead_ids::uuid[], :sites::text[], :services::text[], :locales::text[], :due_ats::timestamptz[], :record_ids::uuid[], :topics::text[], :partitions::int[],
            :offsets::bigint[], :timestamps::bigint[], :keys::bytea[], :payloads::bytea[],
            :headers::text[])
    AS made (lead_id, site, service, locale, due_at, record_id, topic, partition, "offset", timestamp, key, payload, headers)
ORDER BY lead_id
ON CONFLICT (lead_id) DO UPDATE
SET site = excluded.site, service = excluded.service, locale = excluded.locale, due_at = excluded.due_at, digest_id = NULL, record_id = excluded.record_id,
    record_topic = excluded.record_topic, record_partition = excluded.record_partition,
    record_offset = excluded.record_offset, record_timestamp = excluded.record_timestamp,
    record_key = excluded.record_key, payload = excluded.payload, headers = excluded.headers, collected_at = now();
