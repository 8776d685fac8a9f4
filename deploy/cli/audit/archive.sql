-- The steps of archive.py.

-- name: list_partitions
-- The partitions, oldest first. One is complete if no new entry can get an id of it.
SELECT part.name, part.end_id, part.end_id <= sequence.last_value AS is_complete,
       pg_total_relation_size(format('public.%I', part.name)::regclass) AS bytes
FROM audit_partitions() AS part, audit_log_id_seq AS sequence ORDER BY part.first_id;

-- name: list_detached
-- Tables of an earlier run that was interrupted after it detached them, oldest first.
SELECT c.relname::text AS name, coalesce(i.inhdetachpending, false) AS is_pending
FROM pg_class AS c LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND i.inhparent = 'public.audit_log'::regclass
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^audit_log_from_\d+$'
  AND (i.inhrelid IS NULL OR i.inhdetachpending)
ORDER BY substring(c.relname FROM '\d+$')::bigint;

-- name: add_archive!
-- Record what is archived, in the transaction that drops it.
INSERT INTO audit_archive (name, first_id, last_id, entries, first_at, last_at, sha256)
VALUES (:name, :first_id, :last_id, :entries, :first_at, :last_at, :sha256);
