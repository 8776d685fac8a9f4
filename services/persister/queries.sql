-- name: insert_leads
-- Insert leads, and the audit entries of those that are new. Return the ids of the new leads. One statement saves a
-- round trip. The rows are read from JSON. Arrays for each column would save 9 us per lead in PostgreSQL, but cost 29
-- us in the driver, which examines every value.
--
-- With partitions, the statement is a whole transaction: it counts all records of a batch as stored too, which saves
-- four more round trips. It writes nothing if an entry of the ledger is not at the first offset, or if a lead of `ids`
-- is stored already. If another process stores a lead at the same moment, the ledger would not balance, and its CHECK
-- rolls everything back. Without partitions, only the leads and their audit entries are written.
WITH entry AS MATERIALIZED (
    -- As in `lock_entries` of the ledger: the newest entries, locked in a fixed order.
    SELECT topic, partition, epoch, next_offset
    FROM partition_ledger l
    WHERE stage = :stage
      AND (topic, partition) IN (SELECT r.topic, r.partition
                                 FROM unnest(:topics::text[], :partitions::int[]) AS r (topic, partition))
      AND epoch = (SELECT max(epoch) FROM partition_ledger n
                   WHERE (n.stage, n.topic, n.partition) = (l.stage, l.topic, l.partition))
    ORDER BY topic, partition
    FOR UPDATE
), continued AS MATERIALIZED (
    SELECT topic, partition, entry.epoch, d.first_offset, d.next_offset, d.last_record
    FROM entry
    JOIN unnest(:topics::text[], :partitions::int[], :first_offsets::bigint[], :next_offsets::bigint[],
                :last_records::text[]) AS d (topic, partition, first_offset, next_offset, last_record)
         USING (topic, partition)
    WHERE entry.next_offset = d.first_offset
), writable AS MATERIALIZED (
    SELECT WHERE (SELECT count(*) FROM continued) = cardinality(:topics::text[])
             -- While the table is almost empty, this is planned as a scan. The plan is kept until the next ANALYZE.
             AND (:ids::uuid[] = '{}' OR NOT EXISTS (SELECT FROM lead_inbox WHERE id = ANY(:ids::uuid[])))
), stored AS (
    INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, phone, company, message, consent,
                            consent_text, consent_version, locale, submitted_at, source, extra, spam_reasons,
                            body_sha256, created_at_utc)
    SELECT lead_id, request_id, site, email, service,
           -- The same as LeadReceived.first_status.
           CASE WHEN spam_reasons = '{}' THEN 'received'
                WHEN spam_reasons <@ :limit_reasons::text[] THEN 'held' ELSE 'spam' END, name, phone, company, message, consent, consent_text, consent_version, locale, submitted_at, source, extra,
           spam_reasons, body_sha256, occurred_at
    FROM writable, json_to_recordset(:leads::json)
        AS lead (lead_id uuid, request_id text, site text, email text, service text, name text, phone text,
                 company text, message text, consent boolean, consent_text text, consent_version text, locale text,
                 submitted_at timestamptz, source jsonb, extra jsonb, spam_reasons text[], body_sha256 text,
                 occurred_at timestamptz)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), audited AS (
    INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc)
    SELECT entry.event_id, entry.event, entry.actor, entry.status_code, entry.details, entry.lead_id,
           entry.request_id, entry.occurred_at
    FROM stored JOIN json_to_recordset(:entries::json)
        AS entry (event_id uuid, event text, actor text, status_code integer, details jsonb, lead_id uuid,
                  request_id text, occurred_at timestamptz) ON entry.lead_id = stored.id
    ON CONFLICT DO NOTHING
), counted AS (
    UPDATE partition_ledger l
    SET next_offset = d.next_offset,
        last_record = d.last_record,
        -- Off by the number of leads that were not stored, if any.
        stored = l.stored + d.next_offset - d.first_offset + (SELECT count(*) FROM stored) - cardinality(:ids::uuid[]),
        updated_at = now()
    FROM writable, continued AS d
    WHERE (l.stage, l.topic, l.partition, l.epoch) = (:stage, d.topic, d.partition, d.epoch)
)
SELECT id FROM stored;

-- name: known_leads
-- The stored body and status of these leads. The same body, or an erased lead, makes a record a duplicate.
SELECT id, body_sha256, status FROM lead_inbox WHERE id = ANY(:ids::uuid[]);
