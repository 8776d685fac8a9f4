-- The queries of sealed_log.py.

-- name: read_last_tile^
-- The last tile of the leaves, and so the size of the tree.
SELECT tile, entry_ids FROM audit_tile WHERE level = 0 ORDER BY tile DESC LIMIT 1;

-- name: read_tiles
-- The tiles at these positions.
SELECT level, tile, hashes, entry_ids FROM audit_tile
WHERE (level, tile) IN (SELECT level, tile FROM unnest(:levels::smallint[], :tiles::bigint[]) AS wanted (level, tile));

-- name: list_tiles
-- The tiles of a level from one on.
SELECT tile, hashes, entry_ids FROM audit_tile
WHERE level = :level::smallint AND tile >= :first::bigint ORDER BY tile LIMIT :limit::bigint;

-- name: read_leaves
-- Entries as the bytes that are sealed: a line of JSON, with every digit of a number, and the time in UTC whatever the
-- session's settings are. Only committed entries: the caller knows that no earlier id can appear any more.
SELECT id, row_to_json(entry)::text AS leaf
FROM (
    SELECT id, event_id, event, actor, status_code, details_json, lead_id, request_id,
           created_at_utc AT TIME ZONE 'UTC' AS created_at_utc
    FROM audit_log WHERE id > :after::bigint AND id <= :last::bigint ORDER BY id LIMIT :limit::bigint
) AS entry
ORDER BY id;

-- name: read_leaf_hashes
-- The hashes of the same bytes. However large entries are, each takes 32 bytes on the way.
SELECT id, sha256('\x00'::bytea || convert_to(row_to_json(entry)::text, 'UTF8')) AS leaf_hash
FROM (
    SELECT id, event_id, event, actor, status_code, details_json, lead_id, request_id,
           created_at_utc AT TIME ZONE 'UTC' AS created_at_utc
    FROM audit_log WHERE id > :after::bigint AND id <= :last::bigint ORDER BY id LIMIT :limit::bigint
) AS entry
ORDER BY id;

-- name: find_leaf_index$
-- The index of an entry's leaf: the tile's first leaf and the place in the tile. No row: it is not sealed.
SELECT tile * 256 + array_position(entry_ids, :id::bigint) - 1
FROM (SELECT tile, entry_ids FROM audit_tile
      WHERE level = 0 AND entry_ids[1] <= :id ORDER BY entry_ids[1] DESC LIMIT 1) AS tile;

-- name: find_leaf_tile$
-- The tile of leaves that has an id, or would have it.
SELECT coalesce(max(tile), 0) FROM audit_tile WHERE level = 0 AND entry_ids[1] <= :id::bigint;

-- name: lock_log#
-- The archive of a partition waits for who holds this lock. It takes no snapshot: the next statement does.
LOCK TABLE ONLY audit_log IN ACCESS SHARE MODE;

-- name: find_unfinished_archive$
-- A partition that is detached and not archived yet: its entries are neither in the log nor in audit_archive.
SELECT min(c.relname) FROM pg_class AS c LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^audit_log_from_[0-9]+$'
  AND (i.inhrelid IS NULL OR i.inhdetachpending);

-- name: list_archives
-- What was archived, oldest first.
SELECT name, first_id, last_id, entries, sha256 FROM audit_archive ORDER BY first_id, name;

-- name: count_tiles$
-- All rows, also those that no tree has.
SELECT count(*) FROM audit_tile;

-- name: read_last_checkpoint^
-- The newest checkpoint.
SELECT number, origin, size, note, created_at FROM audit_checkpoint ORDER BY number DESC LIMIT 1;

-- name: list_checkpoints
-- Checkpoints in the order in which they were signed.
SELECT number, origin, size, note, created_at FROM audit_checkpoint
WHERE number > :after::bigint ORDER BY number LIMIT :limit::bigint;
