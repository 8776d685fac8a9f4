-- The queries of files.py.

-- name: find_first_sealed$
-- The id of the first entry that is sealed.
SELECT entry_ids[1] FROM audit_tile WHERE level = 0 AND tile = 0;

-- name: list_sealed_entries
-- A lead's sealed entries, with the index of their leaf: the tile's first leaf and the place in the tile.
SELECT entry.id, tile.tile * 256 + array_position(tile.entry_ids, entry.id) - 1 AS leaf_index
FROM (SELECT id FROM audit_log WHERE lead_id = :lead_id UNION SELECT unnest(:archived::bigint[])) AS entry
CROSS JOIN LATERAL (
    SELECT tile, entry_ids FROM audit_tile
    WHERE level = 0 AND entry_ids[1] <= entry.id ORDER BY entry_ids[1] DESC LIMIT 1
) AS tile
WHERE entry.id = ANY(tile.entry_ids)
ORDER BY entry.id;
