-- name: newest_pages
-- How far a stage's books go, by partition.
SELECT DISTINCT ON (topic, partition) topic, partition, epoch, next_offset
FROM partition_ledger WHERE stage = :stage ORDER BY topic, partition, epoch DESC;
