-- The queries of suppressions.py.

-- name: list_suppressions
-- The entries that have not expired, the newest first.
SELECT id, left(encode(digest, 'hex'), 12) AS digest, site, reason, lead_id, created_by, created_at, expires_at
FROM suppressed_address WHERE expires_at > now()
ORDER BY created_at DESC, id DESC LIMIT :limit::bigint;

-- name: count_suppressions$
-- How many entries have not expired.
SELECT count(*) FROM suppressed_address WHERE expires_at > now();

-- name: get_suppression^
-- One entry.
SELECT id, left(encode(digest, 'hex'), 12) AS digest, site, reason, lead_id, created_by, created_at, expires_at
FROM suppressed_address WHERE id = :id;

-- name: remove_suppression^
-- Remove an entry. Returns it, or nothing if there is none.
DELETE FROM suppressed_address WHERE id = :id RETURNING site, reason, lead_id;
