-- name: read_entries
-- The newest entry of each of these partitions.
SELECT DISTINCT ON (topic, partition) topic, partition, epoch, next_offset, last_record
FROM partition_ledger
WHERE stage = :stage
  AND (topic, partition) IN (SELECT r.topic, r.partition
                             FROM unnest(:topics::text[], :partitions::int[]) AS r (topic, partition))
ORDER BY topic, partition, epoch DESC;

-- name: lock_entries
-- The newest entry of each partition of a batch, locked in a fixed order, so that two batches cannot deadlock.
SELECT topic, partition, epoch, next_offset, last_record
FROM partition_ledger l
WHERE stage = :stage
  AND (topic, partition) IN (SELECT r.topic, r.partition
                             FROM unnest(:topics::text[], :partitions::int[]) AS r (topic, partition))
  AND epoch = (SELECT max(epoch) FROM partition_ledger n
               WHERE (n.stage, n.topic, n.partition) = (l.stage, l.topic, l.partition))
ORDER BY topic, partition
FOR UPDATE;

-- name: open_epoch!
-- A partition's first entry, or the entry of a new epoch. Another process may insert it at the same moment.
INSERT INTO partition_ledger (stage, topic, partition, epoch, base_offset, next_offset)
VALUES (:stage, :topic, :partition, :epoch, :base_offset, :base_offset)
ON CONFLICT DO NOTHING;

-- name: count_expired!
-- Kafka deleted these records before the stage read them. An entry that changed meanwhile stays as it is.
UPDATE partition_ledger
SET missing = missing + :start - next_offset, next_offset = :start, last_record = NULL, updated_at = now()
WHERE (stage, topic, partition, epoch, next_offset) = (:stage, :topic, :partition, :epoch, :next_offset);

-- name: save_entries!
-- Add a batch's outcomes and advance. The CHECK rejects an entry that does not balance.
UPDATE partition_ledger l
SET next_offset = d.next_offset,
    last_record = d.last_record,
    stored = l.stored + d.stored,
    duplicate = l.duplicate + d.duplicate,
    parked = l.parked + d.parked,
    undecodable = l.undecodable + d.undecodable,
    missing = l.missing + d.missing,
    canary = l.canary + d.canary,
    updated_at = now()
FROM unnest(:topics::text[], :partitions::int[], :epochs::int[], :next_offsets::bigint[], :last_records::text[],
            :stored::bigint[], :duplicate::bigint[], :parked::bigint[], :undecodable::bigint[], :missing::bigint[],
            :canary::bigint[])
    AS d (topic, partition, epoch, next_offset, last_record, stored, duplicate, parked, undecodable, missing, canary)
WHERE (l.stage, l.topic, l.partition, l.epoch) = (:stage, d.topic, d.partition, d.epoch);
