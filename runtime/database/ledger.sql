-- name: read_pages
-- The newest page of each of these partitions.
SELECT DISTINCT ON (topic, partition) topic, partition, epoch, next_offset, last_record
FROM partition_ledger
WHERE stage = :stage
  AND (topic, partition) IN (SELECT asked.topic, asked.partition
                             FROM unnest(:topics::text[], :partitions::int[]) AS asked (topic, partition))
ORDER BY topic, partition, epoch DESC;

-- name: lock_pages
-- The newest page of each partition in hand, locked in one order, so that two batches cannot deadlock.
SELECT topic, partition, epoch, next_offset, last_record
FROM partition_ledger l
WHERE stage = :stage
  AND (topic, partition) IN (SELECT asked.topic, asked.partition
                             FROM unnest(:topics::text[], :partitions::int[]) AS asked (topic, partition))
  AND epoch = (SELECT max(epoch) FROM partition_ledger n
               WHERE (n.stage, n.topic, n.partition) = (l.stage, l.topic, l.partition))
ORDER BY topic, partition
FOR UPDATE;

-- name: open_page!
-- A partition's first page, or the page of a new epoch. Somebody else may open it at the same moment.
INSERT INTO partition_ledger (stage, topic, partition, epoch, base_offset, next_offset)
VALUES (:stage, :topic, :partition, :epoch, :base_offset, :base_offset)
ON CONFLICT DO NOTHING;

-- name: count_expired!
-- Kafka deleted these records before the stage had taken them. A page that moved meanwhile is left as it is.
UPDATE partition_ledger
SET missing = missing + :start - next_offset, next_offset = :start, last_record = NULL, updated_at = now()
WHERE (stage, topic, partition, epoch, next_offset) = (:stage, :topic, :partition, :epoch, :next_offset);

-- name: save_pages!
-- Add a batch's outcomes and advance; the CHECK refuses books that do not balance.
UPDATE partition_ledger l
SET next_offset = d.next_offset,
    last_record = d.last_record,
    stored = l.stored + d.stored,
    duplicate = l.duplicate + d.duplicate,
    parked = l.parked + d.parked,
    undecodable = l.undecodable + d.undecodable,
    missing = l.missing + d.missing,
    updated_at = now()
FROM unnest(:topics::text[], :partitions::int[], :epochs::int[], :next_offsets::bigint[], :last_records::text[],
            :stored::bigint[], :duplicate::bigint[], :parked::bigint[], :undecodable::bigint[], :missing::bigint[])
    AS d (topic, partition, epoch, next_offset, last_record, stored, duplicate, parked, undecodable, missing)
WHERE (l.stage, l.topic, l.partition, l.epoch) = (:stage, d.topic, d.partition, d.epoch);
