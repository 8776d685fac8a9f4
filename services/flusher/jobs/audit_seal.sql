-- The queries of audit_seal.py.

-- name: try_seal_lock$
-- One sealer at a time, over all flushers, until the transaction ends. The job's own lock is in another transaction, whose
-- connection may be lost while this one lives.
SELECT pg_try_advisory_xact_lock(hashtextextended('fastcore.audit_seal', 0));

-- name: read_last_id$
-- The last entry that is committed.
SELECT coalesce(max(id), 0) FROM audit_log;

-- name: list_writers
-- The transactions that may have taken an id of audit_log and not committed it: each has this lock from before it takes an id
-- until after its commit is visible. It conflicts with nothing that we do.
SELECT DISTINCT virtualtransaction AS writer FROM pg_locks
WHERE locktype = 'relation' AND relation = 'public.audit_log'::regclass AND mode = 'RowExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: store_tiles*!
-- Store new tiles, and tiles that grew.
INSERT INTO audit_tile (level, tile, hashes, entry_ids) VALUES (:level, :tile, :hashes, :entry_ids)
ON CONFLICT (level, tile) DO UPDATE SET hashes = excluded.hashes, entry_ids = excluded.entry_ids;

-- name: insert_checkpoint!
-- Store what was signed. A name that the log had before has signed this size already if nothing was added since.
INSERT INTO audit_checkpoint (origin, size, note) VALUES (:origin, :size, :note) ON CONFLICT (origin, size) DO NOTHING;
